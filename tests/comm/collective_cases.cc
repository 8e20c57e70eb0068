#include "tests/comm/collective_cases.h"

#include "tests/comm/case_data.h"

#include <bit>
#include <numeric>

namespace ashlar::comm::testing {
namespace {

template <typename T>
std::span<T> all(std::vector<T>& v) {
  return v;
}
template <typename T>
std::span<const T> all(const std::vector<T>& v) {
  return v;
}

int64_t sum_over_ranks(Communicator& comm, int64_t x) {
  comm.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(&x, 1)), "sum of a counter");
  return x;
}

// Method F2: the sum over the ranks is exact, each rank within an element a phase.
void check_all_reduce_bytes(Communicator& comm, const Group& group, int64_t n, int64_t size,
                            int64_t bytes) {
  const int p = group.size();
  const int64_t mine = slice_of(n, p, group.index).length;
  const int64_t next = slice_of(n, p, (group.index + 1) % p).length;
  expect_equal("all_reduce: bytes of this rank", bytes, p == 1 ? 0 : (2 * n - mine - next) * size);
  const double ideal = 2.0 * (p - 1) / p * static_cast<double>(n * size);
  ASHLAR_CHECK(std::abs(static_cast<double>(bytes) - ideal) <= 2.0 * static_cast<double>(size),
               "all_reduce: {} bytes, wanted {} within two elements", bytes, ideal);
  expect_equal("all_reduce: bytes of all ranks", sum_over_ranks(comm, bytes),
               2 * (p - 1) * n * size);
}

void all_reduce(Communicator& comm) {
  const Group group = comm.world();
  for_dtypes([&]<typename T>() {
    for (const int64_t n : kSizes) {
      for (const Reduce reduce : {Reduce::kSum, Reduce::kMax}) {
        std::vector<T> data = data_of<T>(comm.rank(), n);
        const Traffic traffic = traffic_of(comm, "world", CommOp::kAllReduce, [&] {
          comm.all_reduce(group, reduce, buffer(all(data)), "case");
        });
        expect_bits("all_reduce", data, serial_reduce(reduce, terms_of<T>(group, n)));
        check_all_reduce_bytes(comm, group, n, sizeof(T), traffic.bytes);
      }
    }
  });
}

// More than the staging memory holds: many chunks of each rank.
void all_reduce_in_chunks(Communicator& comm) {
  const Group group = comm.world();
  constexpr int64_t kElements = 150'001;
  std::vector<double> data = data_of<double>(comm.rank(), kElements);
  const Traffic traffic = traffic_of(comm, "world", CommOp::kAllReduce, [&] {
    comm.all_reduce(group, Reduce::kSum, buffer(all(data)), "chunks");
  });
  expect_bits("all_reduce", data, serial_reduce(Reduce::kSum, terms_of<double>(group, kElements)));
  check_all_reduce_bytes(comm, group, kElements, 8, traffic.bytes);
}

void reduce_scatter(Communicator& comm) {
  const Group group = comm.world();
  for_dtypes([&]<typename T>() {
    for (const int64_t n : kSizes) {
      const std::vector<int64_t> counts = uneven_counts(comm.size(), n);
      const int64_t mine = counts[static_cast<size_t>(group.index)];
      const int64_t offset =
          std::accumulate(counts.begin(), counts.begin() + group.index, int64_t{0});
      const std::vector<T> in = data_of<T>(comm.rank(), n);
      std::vector<T> out(static_cast<size_t>(mine));
      const Traffic traffic = traffic_of(comm, "world", CommOp::kReduceScatter, [&] {
        comm.reduce_scatter(group, Reduce::kSum, buffer(all(in)), counts, buffer(all(out)), "case");
      });
      const std::vector<T> sum = serial_reduce(Reduce::kSum, terms_of<T>(group, n));
      expect_bits("reduce_scatter", out,
                  std::vector<T>(sum.begin() + offset, sum.begin() + offset + mine));
      expect_bits("reduce_scatter: in", in, data_of<T>(comm.rank(), n));
      expect_equal("reduce_scatter: bytes", traffic.bytes,
                   (n - mine) * static_cast<int64_t>(sizeof(T)));
    }
  });
}

void all_gather(Communicator& comm) {
  const Group group = comm.world();
  for (const int64_t n : kSizes) {
    const std::vector<int64_t> counts = uneven_counts(comm.size(), n);
    const int64_t mine = counts[static_cast<size_t>(group.index)];
    std::vector<int32_t> wanted;
    for (int rank = 0; rank < comm.size(); ++rank) {
      const auto part = data_of<int32_t>(rank, counts[static_cast<size_t>(rank)]);
      wanted.insert(wanted.end(), part.begin(), part.end());
    }
    const std::vector<int32_t> in = data_of<int32_t>(comm.rank(), mine);
    std::vector<int32_t> out(static_cast<size_t>(n));
    const Traffic traffic = traffic_of(comm, "world", CommOp::kAllGather, [&] {
      comm.all_gather(group, buffer(all(in)), counts, buffer(all(out)), "case");
    });
    expect_bits("all_gather", out, wanted);
    const int64_t next = counts[static_cast<size_t>((group.index + 1) % group.size())];
    expect_equal("all_gather: bytes", traffic.bytes, (n - next) * 4);

    const int64_t offset =
        std::accumulate(counts.begin(), counts.begin() + group.index, int64_t{0});
    std::vector<int32_t> place(static_cast<size_t>(n));
    std::ranges::copy(in, place.begin() + offset);
    const std::span<int32_t> own = all(place).subspan(static_cast<size_t>(offset), in.size());
    comm.all_gather(group, buffer(own), counts, buffer(all(place)), "in place");
    expect_bits("all_gather in place", place, wanted);
  }
}

void broadcast(Communicator& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    for (const int64_t n : {0, 1, 1000, 150'001}) {
      if (n > 1000 && root != comm.size() - 1) continue;  // several chunks, once
      std::vector<int64_t> data = data_of<int64_t>(comm.rank(), n);
      const Traffic traffic = traffic_of(comm, "world", CommOp::kBroadcast, [&] {
        comm.broadcast(comm.world(), root, buffer(all(data)), "case");
      });
      expect_bits("broadcast", data, data_of<int64_t>(root, n));
      expect_equal("broadcast: bytes", sum_over_ranks(comm, traffic.bytes),
                   (comm.size() - 1) * n * 8);
    }
  }
}

void gather_and_scatter(Communicator& comm) {
  const Group group = comm.world();
  for (int root = 0; root < comm.size(); ++root) {
    for (const int64_t n : kSizes) {
      const std::vector<int64_t> counts = uneven_counts(comm.size(), n);
      const int64_t mine = counts[static_cast<size_t>(group.index)];
      const int64_t offset =
          std::accumulate(counts.begin(), counts.begin() + group.index, int64_t{0});
      // Scatter the root's data, then gather it again.
      const std::vector<float> whole = data_of<float>(root, n);
      const bool is_root = group.index == root;
      const std::vector<float> in = is_root ? whole : std::vector<float>();
      std::vector<float> part(static_cast<size_t>(mine)), back(is_root ? whole.size() : 0);
      comm.scatter(group, root, buffer(all(in)), counts, buffer(all(part)), "case");
      expect_bits("scatter", part, data_of<float>(root, mine, offset));
      const std::vector<float>& sent = part;
      const Traffic traffic = traffic_of(comm, "world", CommOp::kGather, [&] {
        comm.gather(group, root, buffer(all(sent)), counts, buffer(all(back)), "case");
      });
      expect_bits("gather", back, in);
      expect_equal("gather: bytes", traffic.bytes, is_root ? 0 : mine * 4);
    }
  }
}

void all_to_all(Communicator& comm) {
  const int p = comm.size();
  for (const int64_t n : kSizes) {
    const auto count = [&](int from, int to) {
      return static_cast<int64_t>(scramble(static_cast<uint64_t>(from * p + to)) %
                                  static_cast<uint64_t>(n / p + 2));
    };
    std::vector<int64_t> send_counts, recv_counts;
    std::vector<int64_t> in, wanted;
    for (int other = 0; other < p; ++other) {
      send_counts.push_back(count(comm.rank(), other));
      recv_counts.push_back(count(other, comm.rank()));
      const auto part = data_of<int64_t>(comm.rank() * p + other, send_counts.back());
      in.insert(in.end(), part.begin(), part.end());
      const auto theirs = data_of<int64_t>(other * p + comm.rank(), recv_counts.back());
      wanted.insert(wanted.end(), theirs.begin(), theirs.end());
    }
    std::vector<int64_t> out(wanted.size());
    const Traffic traffic = traffic_of(comm, "world", CommOp::kAllToAll, [&] {
      comm.all_to_all(comm.world(), buffer(all(in)), send_counts, buffer(all(out)), recv_counts,
                      "case");
    });
    expect_bits("all_to_all", out, wanted);
    const auto sent = static_cast<int64_t>(in.size()) - count(comm.rank(), comm.rank());
    expect_equal("all_to_all: bytes", traffic.bytes, sent * 8);
  }
}

void barrier(Communicator& comm) {
  const Traffic traffic =
      traffic_of(comm, "world", CommOp::kBarrier, [&] { comm.barrier(comm.world(), "case"); });
  expect_equal("barrier: bytes", traffic.bytes, 0);
  expect_equal("barrier: messages", traffic.messages,
               std::bit_width(static_cast<unsigned>(comm.size() - 1)));
}

// Two messages of one tag keep their order; another tag overtakes them.
void messages(Communicator& comm) {
  const int p = comm.size();
  if (p == 1) return;
  const Group group = comm.world();
  const int next = (comm.rank() + 1) % p, last = (comm.rank() + p - 1) % p;
  const std::vector<float> first = data_of<float>(comm.rank(), 5),
                           second = data_of<float>(comm.rank(), 5, 5),
                           third = data_of<float>(comm.rank(), 7, 10);
  const Traffic traffic = traffic_of(comm, "world", CommOp::kSend, [&] {
    Pending a = comm.start_send(group, next, 3, buffer(all(first)), "a");
    Pending b = comm.start_send(group, next, 3, buffer(all(second)), "b");
    Pending c = comm.start_send(group, next, 4, buffer(all(third)), "c");
    std::vector<float> x(5), y(5), z(7);
    comm.recv(group, last, 4, buffer(all(z)), "c");
    comm.recv(group, last, 3, buffer(all(x)), "a");
    comm.recv(group, last, 3, buffer(all(y)), "b");
    expect_bits("message a", x, data_of<float>(last, 5));
    expect_bits("message b", y, data_of<float>(last, 5, 5));
    expect_bits("message c", z, data_of<float>(last, 7, 10));
    for (Pending* pending : {&a, &b, &c}) pending->wait();
  });
  expect_equal("messages: bytes", traffic.bytes, 17 * 4);
  expect_equal("messages: number", traffic.messages, 3);
}

// Every group of a 2x2 or 2x2x2 mesh, each counted under its own axis.
void groups_of_a_mesh(Communicator& comm) {
  if (comm.size() != 4 && comm.size() != 8) return;
  const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2, .pipe = comm.size() / 4});
  using Names = std::vector<std::string>;
  for (const Names& names : {Names{"tensor"}, Names{"data"}, Names{"pipe"}, Names{"data", "tensor"},
                             Names{"pipe", "tensor"}, Names{"pipe", "data", "tensor"}}) {
    const Group group = group_along(mesh, comm.rank(), names);
    std::vector<double> data = data_of<double>(comm.rank(), 1001);
    const Traffic traffic = traffic_of(comm, group.name, CommOp::kAllReduce, [&] {
      comm.all_reduce(group, Reduce::kSum, buffer(all(data)), "case");
    });
    expect_bits(group.name, data, serial_reduce(Reduce::kSum, terms_of<double>(group, 1001)));
    const int64_t groups = comm.size() / group.size();
    expect_equal("bytes of all groups", sum_over_ranks(comm, traffic.bytes),
                 groups * 2 * (group.size() - 1) * 1001 * 8);
    expect_equal("bytes of the axis", comm.counters().axis(group.name).bytes, traffic.bytes);
  }
}

// Method CT1. Integers equal the flat all_reduce; floats equal the sum of the nodes' sums, bit for
// bit, which is the flat one within rounding.
void hierarchical(Communicator& comm) {
  for (const int g : {2, 3, 4}) {
    if (comm.size() % g != 0 || comm.size() == g) continue;
    const int nodes = comm.size() / g;
    const Mesh mesh({{"node", nodes}, {"core", g}});
    const Group inner = group_along(mesh, comm.rank(), {"core"});
    const Group outer = group_along(mesh, comm.rank(), {"node"});
    const int64_t n = 24 * 11 * nodes * g;
    std::vector<int32_t> whole = data_of<int32_t>(comm.rank(), n);
    const Traffic traffic = traffic_of(comm, "node", CommOp::kAllReduce, [&] {
      comm.hierarchical_all_reduce(inner, outer, Reduce::kSum, buffer(all(whole)), "case");
    });
    expect_bits("hierarchical", whole,
                serial_reduce(Reduce::kSum, terms_of<int32_t>(comm.world(), n)));
    expect_equal("hierarchical: bytes across nodes", traffic.bytes,
                 2 * (nodes - 1) * (n / g * 4) / nodes);

    std::vector<float> floats = data_of<float>(comm.rank(), 4099);
    comm.hierarchical_all_reduce(inner, outer, Reduce::kSum, buffer(all(floats)), "floats");
    std::vector<std::vector<float>> sums;
    for (const int other : outer.ranks)
      sums.push_back(
          serial_reduce(Reduce::kSum, terms_of<float>(group_along(mesh, other, {"core"}), 4099)));
    expect_bits("hierarchical floats", floats, serial_reduce(Reduce::kSum, sums));
    const auto flat = serial_reduce(Reduce::kSum, terms_of<float>(comm.world(), 4099));
    for (size_t i = 0; i < flat.size(); ++i)  // values reach 2^10
      ASHLAR_CHECK(std::abs(floats[i] - flat[i]) <= 0x1p10f * 0x1p-22f * 8,
                   "hierarchical: element {} is {}, flat {}", i, floats[i], flat[i]);
  }
}

// Buckets leave while work goes on: several operations under way, ended in another order.
void overlapping(Communicator& comm) {
  const Group group = comm.world();
  std::vector<std::vector<float>> buckets;
  std::vector<Pending> under_way;
  for (int64_t bucket = 0; bucket < 5; ++bucket)
    buckets.push_back(data_of<float>(comm.rank(), 100 + bucket));
  std::vector<int64_t> small = data_of<int64_t>(comm.rank(), 3);
  for (std::vector<float>& bucket : buckets) {
    under_way.push_back(comm.start_all_reduce(group, Reduce::kSum, buffer(all(bucket)), "bucket"));
    comm.poll();
  }
  comm.all_reduce(group, Reduce::kMax, buffer(all(small)), "among them");
  expect_bits("among them", small, serial_reduce(Reduce::kMax, terms_of<int64_t>(group, 3)));
  for (size_t i = buckets.size(); i-- > 0;) {
    under_way[i].wait();
    const auto n = static_cast<int64_t>(buckets[i].size());
    expect_bits("bucket", buckets[i], serial_reduce(Reduce::kSum, terms_of<float>(group, n)));
  }
  expect_equal("done", under_way[0].done(), true);
}

constexpr CollectiveCase kCases[] = {
    {"AllReduce", all_reduce},
    {"AllReduceInChunks", all_reduce_in_chunks},
    {"ReduceScatter", reduce_scatter},
    {"AllGather", all_gather},
    {"Broadcast", broadcast},
    {"GatherAndScatter", gather_and_scatter},
    {"AllToAll", all_to_all},
    {"Barrier", barrier},
    {"Messages", messages},
    {"GroupsOfAMesh", groups_of_a_mesh},
    {"Hierarchical", hierarchical},
    {"Overlapping", overlapping},
};

}  // namespace

std::span<const CollectiveCase> collective_cases() { return kCases; }

}  // namespace ashlar::comm::testing
