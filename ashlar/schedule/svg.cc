#include "ashlar/schedule/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>
#include <vector>

namespace ashlar::schedule {
namespace {

constexpr double kLeft = 70, kRight = 92, kTop = 72, kRow = 26, kGap = 8, kAxis = 44;
constexpr double kNarrow = 900, kWide = 2400;  // of the time axis
constexpr double kStrip = 6;                   // of what runs beside
constexpr double kBox = 15;                    // width that a two-digit number needs

struct Colour {
  int r, g, b;
  std::string str() const { return fmt::format("#{:02x}{:02x}{:02x}", r, g, b); }
  bool is_dark() const { return 0.299 * r + 0.587 * g + 0.114 * b < 150; }
};
Colour mix(Colour a, Colour b, double share) {
  const auto between = [share](int x, int y) {
    return static_cast<int>(std::lround(x + (y - x) * share));
  };
  return {between(a.r, b.r), between(a.g, b.g), between(a.b, b.b)};
}

// What instructions look like; the first chunk is light, the last one dark.
struct Look {
  Kind kind;
  const char* meaning;
  Colour light, dark;
};
constexpr std::array kLooks = {
    Look{Kind::kForward, "F forward", {198, 219, 245}, {49, 108, 181}},
    Look{Kind::kInputGrad, "B input gradient", {252, 218, 176}, {208, 114, 22}},
    Look{Kind::kWeightGrad, "W weight gradient", {203, 233, 200}, {54, 133, 62}},
    Look{Kind::kBackward, "BW full backward", {247, 202, 193}, {188, 74, 58}},
    Look{Kind::kReduce, "sum of gradients", {150, 110, 200}, {150, 110, 200}},
    Look{Kind::kGather, "gather", {226, 214, 240}, {226, 214, 240}},
    Look{Kind::kStep, "step", {210, 210, 210}, {210, 210, 210}},
};
constexpr const char* kMessage = "#8a3fb0";

const Look* look_of(Kind kind) {
  const auto* look = std::ranges::find(kLooks, kind, &Look::kind);
  return look == kLooks.end() ? nullptr : look;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  return out;
}

class Drawing {
 public:
  Drawing(const Schedule& schedule, const Timeline& timeline, const DrawOptions& options)
      : schedule_(schedule), timeline_(timeline), options_(options) {
    double shortest = std::numeric_limits<double>::infinity();
    for (const RankTimeline& rank : timeline.ranks) {
      for (const Span& span : rank.spans) {
        if (is_compute(span.instruction.kind)) {
          shortest = std::min(shortest, span.end - span.start);
        }
      }
    }
    const double makespan = std::max(timeline.makespan, 1e-300);
    scale_ = std::clamp(kBox / std::max(shortest, 1e-300), kNarrow / makespan, kWide / makespan);
    width_ = kLeft + scale_ * makespan + kRight;
    height_ = kTop + (kRow + kGap) * static_cast<double>(timeline.ranks.size()) + kAxis;
  }

  std::string str() {
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica, Arial, sans-serif\" "
        "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        width_, height_);
    draw_title();
    draw_legend();
    draw_axis();
    for (size_t rank = 0; rank < timeline_.ranks.size(); ++rank) draw_rank(rank);
    for (const Transfer& transfer : timeline_.transfers) draw_transfer(transfer);
    return text_ + "</svg>\n";
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  double x(double time) const { return kLeft + scale_ * time; }
  static double y(size_t rank) { return kTop + (kRow + kGap) * static_cast<double>(rank); }

  Colour colour(const Look& look, size_t rank, int chunk) const {
    const size_t chunks = schedule_.stages.chunks(static_cast<int>(rank)).size();
    if (chunks == 1) return mix(look.light, look.dark, 0.15);
    return mix(look.light, look.dark, chunk / static_cast<double>(chunks - 1));
  }

  void draw_title() {
    add("<text x=\"{}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}<tspan dx=\"14\" "
        "font-size=\"12\" font-weight=\"normal\" fill=\"#444444\">{} ranks, {} microbatches; "
        "{:.4g} {}, bubble {:.1f}%</tspan></text>",
        kLeft, escaped(options_.title.empty() ? schedule_.name : options_.title),
        schedule_.stages.ranks(), schedule_.microbatches,
        timeline_.makespan / options_.unit_seconds, escaped(options_.unit),
        100 * timeline_.bubble());
    add("<text x=\"{:.1f}\" y=\"{}\" fill=\"#444444\" text-anchor=\"middle\">max held<title>"
        "microbatches whose activations the rank holds at most</title></text>",
        width_ - kRight / 2, kTop - 8);
  }

  void draw_legend() {
    double at = kLeft;
    const auto entry = [&](const std::string& mark, std::string_view text) {
      add("<g transform=\"translate({:.1f} 38)\">{}<text x=\"{}\" y=\"11\">{}</text></g>", at, mark,
          mark.empty() ? 0 : 34, text);
      at += (mark.empty() ? 0 : 34) + 6.2 * static_cast<double>(text.size()) + 16;
    };
    const bool shades = schedule_.stages.chunks(0).size() > 1;
    for (const Look& look : kLooks) {
      if (!uses(look.kind)) continue;
      const Colour first = colour(look, 0, 0);
      const Colour last = shades ? look.dark : first;
      entry(fmt::format("<rect width=\"14\" height=\"14\" fill=\"{}\"/><rect x=\"14\" width=\"14\" "
                        "height=\"14\" fill=\"{}\"/>",
                        first.str(), last.str()),
            look.meaning);
    }
    if (messages_take_time()) {
      entry(fmt::format("<path d=\"M0 7H28\" stroke=\"{}\" stroke-width=\"1.5\"/>", kMessage),
            "message");
    }
    entry("<rect width=\"28\" height=\"14\" fill=\"#efefef\"/>", "idle");
    if (waits()) entry(wait_box(0, 0, 28, 14), "waiting for other ranks");
    if (shades) entry("", "light to dark: chunk 0 to the last");
  }

  bool uses(Kind kind) const {
    return std::ranges::any_of(timeline_.ranks, [kind](const RankTimeline& rank) {
      return std::ranges::any_of(rank.spans, [kind](const Span& span) {
        return span.instruction.kind == kind && span.end > span.start;
      });
    });
  }
  bool waits() const {
    return std::ranges::any_of(timeline_.ranks,
                               [](const RankTimeline& rank) { return !rank.waits.empty(); });
  }
  static std::string wait_box(double x, double y, double width, double height) {
    return fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" fill=\"#ffffff\" "
        "fill-opacity=\"0.75\" stroke=\"#999999\" stroke-width=\"0.4\"/>",
        x, y, width, height);
  }
  bool messages_take_time() const {
    return std::ranges::any_of(timeline_.transfers,
                               [](const Transfer& each) { return each.end > each.start; });
  }

  void draw_axis() {
    const double bottom = y(timeline_.ranks.size()), length = timeline_.makespan;
    add("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#333333\"/>", x(0), bottom, x(length));
    // Ticks at 1, 2 or 5 times a power of ten, some 80 pixels apart.
    const double wanted = 80 / scale_ / options_.unit_seconds;
    const double power = std::pow(10, std::floor(std::log10(wanted)));
    double step = 10 * power;
    for (const double factor : {5., 2., 1.}) {
      if (factor * power >= wanted) step = factor * power;
    }
    for (int tick = 0; step * tick * options_.unit_seconds <= length * (1 + 1e-9); ++tick) {
      const double at = x(step * tick * options_.unit_seconds);
      add("<path d=\"M{0:.1f} {1:.1f}v5\" stroke=\"#333333\"/><text x=\"{0:.1f}\" y=\"{2:.1f}\" "
          "text-anchor=\"middle\">{3:.6g}</text>",
          at, bottom, bottom + 17, step * tick);
    }
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">time ({})</text>", x(length / 2),
        bottom + 34, escaped(options_.unit));
  }

  void draw_rank(size_t rank) {
    const RankTimeline& row = timeline_.ranks[rank];
    add("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">rank {}</text>", kLeft - 10,
        y(rank) + kRow / 2 + 4, rank);
    add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"#efefef\"/>", x(0),
        y(rank), scale_ * timeline_.makespan, kRow);
    for (const Span& span : row.spans) draw_span(rank, span);
    for (const Interval& wait : row.waits) {
      text_ += wait_box(x(wait.start), y(rank), scale_ * (wait.end - wait.start), kRow) + "\n";
    }
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.4g}</text>", width_ - kRight / 2,
        y(rank) + kRow / 2 + 4, row.peak_microbatches);
  }

  void draw_span(size_t rank, const Span& span) {
    const Look* look = look_of(span.instruction.kind);
    const double width = scale_ * (span.end - span.start);
    if (look == nullptr || width <= 0) return;
    const Colour fill = colour(*look, rank, span.instruction.chunk);
    if (span.instruction.kind == Kind::kReduce) {  // beside what the rank computes
      add("<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\"/>",
          x(span.start), y(rank) + kRow, width, kStrip, fill.str());
      return;
    }
    add("<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\" "
        "stroke=\"#ffffff\" stroke-width=\"0.8\"/>",
        x(span.start), y(rank), width, kRow, fill.str());
    const std::string number =
        span.instruction.microbatch < 0 ? "" : std::to_string(span.instruction.microbatch);
    const double size = std::min(11.0, width / (0.62 * static_cast<double>(number.size()) + 0.1));
    if (number.empty() || size < 5) return;
    add("<text x=\"{:.2f}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"{:.1f}\" "
        "fill=\"{}\">{}</text>",
        x(span.start) + width / 2, y(rank) + kRow / 2 + 0.36 * size, size,
        fill.is_dark() ? "#ffffff" : "#1a1a1a", number);
  }

  void draw_transfer(const Transfer& transfer) {
    if (transfer.end <= transfer.start) return;
    const bool down = transfer.to > transfer.from;
    const double from = y(static_cast<size_t>(transfer.from)) + (down ? kRow : 0);
    const double to = y(static_cast<size_t>(transfer.to)) + (down ? 0 : kRow);
    add("<path d=\"M{:.2f} {:.1f}L{:.2f} {:.1f}\" stroke=\"{}\" stroke-width=\"0.9\" "
        "stroke-opacity=\"0.75\"/>",
        x(transfer.start), from, x(transfer.end), to, kMessage);
  }

  const Schedule& schedule_;
  const Timeline& timeline_;
  const DrawOptions& options_;
  double scale_ = 1, width_ = 0, height_ = 0;
  std::string text_;
};

}  // namespace

std::string to_svg(const Schedule& schedule, const Timeline& timeline, const DrawOptions& options) {
  return Drawing(schedule, timeline, options).str();
}

}  // namespace ashlar::schedule
