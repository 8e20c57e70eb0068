#include "ashlar/comm/collectives.h"

#include <algorithm>

namespace ashlar::comm {
namespace {

const std::byte* bytes_of(ConstBuffer buffer) { return static_cast<const std::byte*>(buffer.data); }
std::byte* bytes_of(Buffer buffer) { return static_cast<std::byte*>(buffer.data); }

const Slice& slice_at(const Slices& slices, int i) { return slices[static_cast<size_t>(i)]; }

// Sends and receives of parts of buffers with one dtype; empty parts are left out on both sides.
class Parts {
 public:
  Parts(Program& program, const Peers& peers, DType dtype)
      : program_(program), peers_(peers), size_(static_cast<size_t>(size_of(dtype))) {}

  void send(int to, const std::byte* base, const Slice& part) const {
    if (part.length > 0) program_.send(peers_, to, base + at(part), length(part));
  }
  void recv(int from, std::byte* base, const Slice& part) const {
    if (part.length > 0) program_.recv(peers_, from, base + at(part), length(part));
  }
  void copy(const std::byte* from, std::byte* to, const Slice& part) const {
    program_.copy(from, to, length(part));
  }
  size_t at(const Slice& part) const { return static_cast<size_t>(part.offset) * size_; }
  size_t length(const Slice& part) const { return static_cast<size_t>(part.length) * size_; }

 private:
  Program& program_;
  const Peers& peers_;
  size_t size_;
};

// The c-th chunk of a slice; empty past its end.
Slice chunk_of(const Slice& slice, int64_t chunk, int64_t c) {
  const int64_t begin = std::min(c * chunk, slice.length);
  return {slice.offset + begin, std::min(chunk, slice.length - begin)};
}

int64_t longest(const Slices& slices) {
  int64_t length = 0;
  for (const Slice& slice : slices) length = std::max(length, slice.length);
  return length;
}

}  // namespace

Slices slices_of(std::span<const int64_t> counts) {
  Slices slices;
  int64_t offset = 0;
  for (const int64_t count : counts) {
    slices.push_back({offset, count});
    offset += count;
  }
  return slices;
}

Slices even_slices(const Peers& peers, int64_t n) {
  Slices slices;
  for (int i = 0; i < peers.size(); ++i) slices.push_back(slice_of(n, peers.size(), i));
  return slices;
}

void append_reduce_scatter(Program& program, const Peers& peers, Reduce reduce, ConstBuffer in,
                           const Slices& slices, std::byte* out) {
  const Parts parts(program, peers, in.dtype);
  const Slice& mine = slice_at(slices, peers.index);
  const std::byte* input = bytes_of(in);
  const int p = peers.size();
  if (p == 1) return parts.copy(input + parts.at(mine), out, mine);

  // Two chunks of each other rank: one arrives while the other is added.
  const int64_t budget = static_cast<int64_t>(kStagingBytes) / (2 * (p - 1) * size_of(in.dtype));
  const int64_t chunk = std::max<int64_t>(64, budget / 64 * 64);
  const int64_t chunks = (longest(slices) + chunk - 1) / chunk;
  const Slice room{0, std::min(chunk, (mine.length + 63) / 64 * 64)};
  std::byte* staging = program.staging(2 * static_cast<size_t>(p - 1) * parts.length(room));
  const auto staged = [&](int64_t c, int from) {  // ranks but this one, in order
    const auto slot = static_cast<size_t>((c % 2) * (p - 1) + from - (from > peers.index ? 1 : 0));
    return staging + slot * parts.length(room);
  };
  const auto exchange = [&](int64_t c) {
    for (int k = 1; k < p; ++k) {
      const int from = peers.around(peers.index - k), to = peers.around(peers.index + k);
      parts.recv(from, staged(c, from), {0, chunk_of(mine, chunk, c).length});
      parts.send(to, input, chunk_of(slice_at(slices, to), chunk, c));
    }
    return program.transfers();
  };
  const auto add = [&](int64_t c) {
    const Slice part = chunk_of(mine, chunk, c);
    if (part.length == 0) return;
    ReduceStep step{
        in.dtype, reduce, {}, out + parts.at({part.offset - mine.offset, 0}), part.length};
    for (int from = 0; from < p; ++from)
      step.terms.push_back(from == peers.index ? input + parts.at(part) : staged(c, from));
    program.reduce(std::move(step));
  };

  size_t arrived = chunks > 0 ? exchange(0) : 0;
  for (int64_t c = 0; c < chunks; ++c) {
    const size_t next = c + 1 < chunks ? exchange(c + 1) : arrived;
    program.await(arrived);
    add(c);
    arrived = next;
  }
}

void append_all_gather(Program& program, const Peers& peers, DType dtype, const std::byte* in,
                       const Slices& slices, std::byte* out) {
  const Parts parts(program, peers, dtype);
  const Slice& mine = slice_at(slices, peers.index);
  parts.copy(in, out + parts.at(mine), mine);
  for (int k = 0; k + 1 < peers.size(); ++k) {
    parts.recv(peers.around(peers.index - 1), out,
               slice_at(slices, peers.around(peers.index - k - 1)));
    parts.send(peers.around(peers.index + 1), out, slice_at(slices, peers.around(peers.index - k)));
    program.await_all();
  }
}

void append_all_reduce(Program& program, const Peers& peers, Reduce reduce, Buffer data) {
  const Slices slices = even_slices(peers, data.elements);
  const Parts parts(program, peers, data.dtype);
  std::byte* mine = bytes_of(data) + parts.at(slice_at(slices, peers.index));
  append_reduce_scatter(program, peers, reduce, data, slices, mine);
  append_all_gather(program, peers, data.dtype, mine, slices, bytes_of(data));
}

void append_hierarchical_all_reduce(Program& program, const Peers& inner, const Peers& outer,
                                    Reduce reduce, Buffer data) {
  const Slices slices = even_slices(inner, data.elements);
  const Parts parts(program, inner, data.dtype);
  const Slice& slice = slice_at(slices, inner.index);
  std::byte* mine = bytes_of(data) + parts.at(slice);
  append_reduce_scatter(program, inner, reduce, data, slices, mine);
  append_all_reduce(program, outer, reduce, {data.dtype, mine, slice.length});
  append_all_gather(program, inner, data.dtype, mine, slices, bytes_of(data));
}

void append_broadcast(Program& program, const Peers& peers, int root, Buffer data) {
  const Parts parts(program, peers, data.dtype);
  const int p = peers.size(), place = peers.around(peers.index - root);  // the root's is 0
  // The parent differs in the lowest bit set; the children set one lower bit.
  int low = 1;
  while (low < p && (place & low) == 0) low *= 2;
  const int64_t chunk = static_cast<int64_t>(kStagingBytes) / size_of(data.dtype);
  for (int64_t c = 0; c * chunk < data.elements; ++c) {
    const Slice part = chunk_of({0, data.elements}, chunk, c);
    if (place != 0) {
      parts.recv(peers.around(place - low + root), bytes_of(data), part);
      program.await_all();
    }
    for (int bit = low / 2; bit > 0; bit /= 2)
      if (place + bit < p) parts.send(peers.around(place + bit + root), bytes_of(data), part);
  }
  program.await_all();
}

void append_gather(Program& program, const Peers& peers, int root, ConstBuffer in,
                   const Slices& slices, std::byte* out) {
  const Parts parts(program, peers, in.dtype);
  const Slice& mine = slice_at(slices, peers.index);
  if (peers.index != root) {
    parts.send(root, bytes_of(in), {0, mine.length});
  } else {
    parts.copy(bytes_of(in), out + parts.at(mine), mine);
    for (int i = 0; i < peers.size(); ++i)
      if (i != root) parts.recv(i, out, slice_at(slices, i));
  }
  program.await_all();
}

void append_scatter(Program& program, const Peers& peers, int root, const std::byte* in,
                    const Slices& slices, Buffer out) {
  const Parts parts(program, peers, out.dtype);
  const Slice& mine = slice_at(slices, peers.index);
  if (peers.index != root) {
    parts.recv(root, bytes_of(out), {0, mine.length});
  } else {
    parts.copy(in + parts.at(mine), bytes_of(out), mine);
    for (int i = 0; i < peers.size(); ++i)
      if (i != root) parts.send(i, in, slice_at(slices, i));
  }
  program.await_all();
}

void append_all_to_all(Program& program, const Peers& peers, DType dtype, const std::byte* in,
                       const Slices& to, std::byte* out, const Slices& from) {
  const Parts parts(program, peers, dtype);
  const Slice& mine = slice_at(to, peers.index);
  parts.copy(in + parts.at(mine), out + parts.at(slice_at(from, peers.index)), mine);
  for (int k = 1; k < peers.size(); ++k) {
    const int source = peers.around(peers.index - k), target = peers.around(peers.index + k);
    parts.recv(source, out, slice_at(from, source));
    parts.send(target, in, slice_at(to, target));
  }
  program.await_all();
}

void append_barrier(Program& program, const Peers& peers) {
  for (int d = 1; d < peers.size(); d *= 2) {
    program.recv(peers, peers.around(peers.index - d), nullptr, 0);
    program.send(peers, peers.around(peers.index + d), nullptr, 0);
    program.await_all();
  }
}

}  // namespace ashlar::comm
