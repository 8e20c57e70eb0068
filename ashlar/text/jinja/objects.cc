#include "ashlar/text/jinja/objects.h"

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"

namespace ashlar::text::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // jinja2's sandbox allows no more

// Items in [start, stop) by step, without overflow for any bounds.
uint64_t range_count(int64_t start, int64_t stop, int64_t step) {
  const auto low = static_cast<uint64_t>(step > 0 ? start : stop);
  const auto high = static_cast<uint64_t>(step > 0 ? stop : start);
  if ((step > 0 && start >= stop) || (step < 0 && start <= stop)) return 0;
  const uint64_t stride =
      step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return (high - low - 1) / stride + 1;
}

}  // namespace

Range::Range(int64_t start, int64_t stop, int64_t step)
    : start_(start), stop_(stop), step_(step), count_(0) {
  if (step == 0) fault("range(): step is 0");
  const uint64_t count = range_count(start, stop, step);
  if (count > static_cast<uint64_t>(kMaxRange)) {
    fault("range() of {} items, at most {} are allowed", count, kMaxRange);
  }
  count_ = static_cast<int64_t>(count);
}

std::string Range::repr(Runtime&) const {
  return step_ == 1 ? fmt::format("range({}, {})", start_, stop_)
                    : fmt::format("range({}, {}, {})", start_, stop_, step_);
}

bool Range::equals(const Object& other) const {
  const auto* range = dynamic_cast<const Range*>(&other);
  if (range == nullptr || range->count_ != count_) return false;
  if (count_ == 0) return true;
  return start_ == range->start_ && (count_ == 1 || step_ == range->step_);
}

std::vector<Value> Range::take_items(Runtime& runtime) {
  runtime.pay_items(static_cast<uint64_t>(count_));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count_));
  for (int64_t i = 0; i < count_; ++i) items.emplace_back(start_ + i * step_);
  return items;
}

std::optional<Value> Range::element(int64_t index) const {
  if (index < 0) index += count_;
  if (index < 0 || index >= count_) return std::nullopt;
  return Value(start_ + index * step_);
}

std::shared_ptr<Range> Range::slice(int64_t first, int64_t end, int64_t step) const {
  int64_t stride;
  if (__builtin_mul_overflow(step_, step, &stride)) fault("integer beyond 64 bits");
  return std::make_shared<Range>(start_ + first * step_, start_ + end * step_, stride);
}

std::vector<Value> Iterator::take_items(Runtime&) {
  std::vector<Value> rest(items_.begin() + static_cast<std::ptrdiff_t>(next_), items_.end());
  next_ = items_.size();
  return rest;
}

std::optional<Value> Iterator::next() {
  if (next_ == items_.size()) return std::nullopt;
  return items_[next_++];
}

std::string_view DictView::type_name() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      break;
  }
  return "dict_items";
}

std::string Group::repr(Runtime& runtime) const {
  return jinja::repr(runtime, Value::tuple(pair_));
}

std::optional<Value> Group::attribute(std::string_view name) const {
  if (name == "grouper") return pair_[0];
  if (name == "list") return pair_[1];
  return std::nullopt;
}

std::optional<Value> Group::element(int64_t index) const {
  if (index < -2 || index > 1) return std::nullopt;
  return pair_[static_cast<size_t>(index < 0 ? index + 2 : index)];
}

std::string DictView::repr(Runtime& runtime) const {
  return fmt::format("{}({})", type_name(), jinja::repr(runtime, Value::list(items())));
}

bool DictView::equals(const Object& other) const {
  const auto* view = dynamic_cast<const DictView*>(&other);
  if (view == nullptr || view->part_ != part_) return false;
  switch (part_) {
    case Part::kValues:
      return this == view;
    case Part::kItems:
      return values_equal(dict_, view->dict_);
    case Part::kKeys:
      break;
  }
  if (dict_.dict().size() != view->dict_.dict().size()) return false;
  for (const auto& [key, value] : dict_.dict().entries()) {
    if (view->dict_.dict().find(key) == nullptr) return false;
  }
  return true;
}

std::optional<int64_t> DictView::length() const {
  return static_cast<int64_t>(dict_.dict().size());
}

std::vector<Value> DictView::items() const {
  std::vector<Value> items;
  items.reserve(dict_.dict().size());
  for (const auto& [key, value] : dict_.dict().entries()) {
    switch (part_) {
      case Part::kKeys:
        items.push_back(key);
        break;
      case Part::kValues:
        items.push_back(value);
        break;
      case Part::kItems:
        items.push_back(Value::tuple({key, value}));
        break;
    }
  }
  return items;
}

std::vector<Value> DictView::take_items(Runtime& runtime) {
  runtime.pay_items(3 * dict_.dict().size());
  return items();
}

std::string Namespace::repr(Runtime& runtime) const {
  return fmt::format("<Namespace {}>", jinja::repr(runtime, Value(attributes_)));
}

std::optional<Value> Namespace::attribute(std::string_view name) const {
  const Value* found = attributes_.find(name);
  if (found == nullptr) return std::nullopt;
  return *found;
}

void Namespace::set(const std::string& name, Value value) {
  attributes_.set(Value(name), std::move(value));
}

std::optional<Value> Cycler::attribute(std::string_view name) const {
  if (name == "current") return items_[at_];
  return std::nullopt;
}

Value Cycler::next() {
  const Value& current = items_[at_];
  at_ = (at_ + 1) % items_.size();
  return current;
}

Value Joiner::call(Runtime&, const Arguments& arguments) {
  expect_no_arguments("joiner", arguments);
  if (used_) return separator_;
  used_ = true;
  return Value("");
}

Value make_iterator(std::vector<Value> items) {
  return Value(std::make_shared<Iterator>(std::move(items)));
}

}  // namespace ashlar::text::jinja
