// Functions written in C++ that a template can call: globals and the methods of values.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/object.h"

#include <functional>
#include <string>

namespace ashlar::text::jinja {

class NativeFunction : public Object {
 public:
  using Body = std::function<Value(Runtime&, const Arguments&)>;
  NativeFunction(std::string name, Body body) : name_(std::move(name)), body_(std::move(body)) {}

  std::string_view type_name() const override { return "function"; }
  std::string repr(Runtime&) const override { return "<function " + name_ + ">"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return body_(runtime, arguments);
  }

 private:
  std::string name_;
  Body body_;
};

class Method : public Object {
 public:
  using Body = Value (*)(Runtime& runtime, const Value& self, const Arguments& arguments);
  Method(std::string_view name, Value self, Body body)
      : name_(name), self_(std::move(self)), body_(body) {
    holds(self_);
  }

  std::string_view type_name() const override { return "builtin_function_or_method"; }
  std::string repr(Runtime&) const override { return "<built-in method " + name_ + ">"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return body_(runtime, self_, arguments);
  }

 private:
  std::string name_;
  Value self_;
  Body body_;
};

}  // namespace ashlar::text::jinja
