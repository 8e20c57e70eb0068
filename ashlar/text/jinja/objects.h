// The Objects that hold data: range(), one-shot iterators, dict views, namespaces, cyclers,
// joiners.
#pragma once

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/object.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::text::jinja {

class Range : public Object {
 public:
  // Fault above the sandbox's limit of 100000 items, and for step 0.
  Range(int64_t start, int64_t stop, int64_t step);

  std::string_view type_name() const override { return "range"; }
  std::string repr(Runtime& runtime) const override;
  bool truthy() const override { return count_ > 0; }
  bool equals(const Object& other) const override;
  std::optional<int64_t> length() const override { return count_; }
  bool iterable() const override { return true; }
  bool subscriptable() const override { return true; }
  std::vector<Value> take_items(Runtime& runtime) override;
  std::optional<Value> element(int64_t index) const override;
  // The range of every step-th element from position `first` to before `end`.
  std::shared_ptr<Range> slice(int64_t first, int64_t end, int64_t step) const;

 private:
  int64_t start_, stop_, step_, count_;
};

// What the filters that are generators in jinja2 return: no length, always true, empty once read.
class Iterator : public Object {
 public:
  explicit Iterator(std::vector<Value> items) : items_(std::move(items)) { holds(items_); }

  std::string_view type_name() const override { return "generator"; }
  bool iterable() const override { return true; }
  std::vector<Value> take_items(Runtime& runtime) override;
  std::optional<Value> next();

 private:
  std::vector<Value> items_;
  size_t next_ = 0;
};

// dict.keys(), dict.values() and dict.items().
class DictView : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(Value dict, Part part) : dict_(std::move(dict)), part_(part) { holds(dict_); }

  std::string_view type_name() const override;
  std::string repr(Runtime& runtime) const override;
  bool truthy() const override { return !dict_.dict().empty(); }
  bool equals(const Object& other) const override;
  std::optional<int64_t> length() const override;
  bool iterable() const override { return true; }
  std::vector<Value> take_items(Runtime& runtime) override;

 private:
  std::vector<Value> items() const;

  Value dict_;
  Part part_;
};

// The only thing a template can change across scopes: {% set ns.count = 1 %}.
class Namespace : public Object {
 public:
  explicit Namespace(Dict attributes) : attributes_(std::move(attributes)) {}

  std::string_view type_name() const override { return "Namespace"; }
  std::string repr(Runtime& runtime) const override;
  std::optional<Value> attribute(std::string_view name) const override;
  void clear() override { attributes_ = Dict(); }

  void set(const std::string& name, Value value);

 private:
  Dict attributes_;
};

// What groupby gives for each key: a pair that answers to `grouper` and `list` too.
class Group : public Object {
 public:
  Group(Value grouper, Value list) : pair_{std::move(grouper), std::move(list)} { holds(pair_); }

  std::string_view type_name() const override { return "_GroupTuple"; }
  std::string repr(Runtime& runtime) const override;
  std::optional<int64_t> length() const override { return 2; }
  bool iterable() const override { return true; }
  bool subscriptable() const override { return true; }
  std::vector<Value> take_items(Runtime&) override { return pair_; }
  const std::vector<Value>* tuple_items() const override { return &pair_; }
  std::optional<Value> attribute(std::string_view name) const override;
  std::optional<Value> element(int64_t index) const override;

 private:
  std::vector<Value> pair_;
};

class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) { holds(items_); }

  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(std::string_view name) const override;
  Value next();
  void reset() { at_ = 0; }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
};

class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) { holds(separator_); }

  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override;

 private:
  Value separator_;
  bool used_ = false;
};

Value make_iterator(std::vector<Value> items);

}  // namespace ashlar::text::jinja
