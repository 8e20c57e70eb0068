// Runs a parsed template: evaluates expressions, executes statements, collects the output. Every
// Fault becomes an ashlar::Error with the place of the innermost expression or tag it came from.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/ast.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/scope.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::text::jinja {

class Loop;

// Bytes [begin, end) of the output that a {% generation %} block printed: what the model said.
struct GeneratedSpan {
  size_t begin, end;
  bool operator==(const GeneratedSpan&) const = default;
};

class Evaluator {
 public:
  using ScopePtr = std::shared_ptr<Scope>;

  Evaluator(Runtime& runtime, const std::string& where) : runtime_(runtime), where_(where) {}
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // The whole template, once.
  std::string run(const Body& body, const ScopePtr& variables);
  const std::vector<GeneratedSpan>& generated() const { return generated_; }

  // For Macro::call: the text that the code prints with these arguments.
  Value call_macro(const MacroCode& code, const ScopePtr& defined_in, const Arguments& arguments);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Expressions.
  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value evaluate_or_none(const ExprPtr& expr, const ScopePtr& scope);
  std::vector<Value> evaluate_all(const std::vector<ExprPtr>& exprs, const ScopePtr& scope);
  Arguments evaluate_arguments(const CallArguments& arguments, const ScopePtr& scope);
  Value node(const Literal& expr, const ScopePtr& scope);
  Value node(const NameExpr& expr, const ScopePtr& scope);
  Value node(const TupleExpr& expr, const ScopePtr& scope);
  Value node(const ListExpr& expr, const ScopePtr& scope);
  Value node(const DictExpr& expr, const ScopePtr& scope);
  Value node(const ConditionalExpr& expr, const ScopePtr& scope);
  Value node(const BinaryExpr& expr, const ScopePtr& scope);
  Value node(const LogicalExpr& expr, const ScopePtr& scope);
  Value node(const NotExpr& expr, const ScopePtr& scope);
  Value node(const SignExpr& expr, const ScopePtr& scope);
  Value node(const ConcatExpr& expr, const ScopePtr& scope);
  Value node(const ComparisonExpr& expr, const ScopePtr& scope);
  Value node(const AttributeExpr& expr, const ScopePtr& scope);
  Value node(const ItemExpr& expr, const ScopePtr& scope);
  Value node(const SliceExpr& expr, const ScopePtr& scope);
  Value node(const CallExpr& expr, const ScopePtr& scope);
  Value node(const FilterExpr& expr, const ScopePtr& scope);
  Value node(const TestExpr& expr, const ScopePtr& scope);
  Value node(const BlockTextExpr& expr, const ScopePtr& scope);

  // Statements print to `out`.
  Flow execute(const Block& body, const ScopePtr& scope, std::string& out);
  Flow tag(const DataStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const PrintStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const ForStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const IfStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const SetStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const SetBlockStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const MacroStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const CallBlockStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const FilterBlockStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const WithStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const GenerationStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const BreakStatement& tag, const ScopePtr& scope, std::string& out);
  Flow tag(const ContinueStatement& tag, const ScopePtr& scope, std::string& out);

  std::shared_ptr<Loop> make_loop(const ForStatement& tag, const Value& iterable, int64_t depth,
                                  const ScopePtr& scope);
  // Prints a loop over `iterable`; a recursive one calls itself with depth + 1.
  Flow run_loop(const ForStatement& tag, const Value& iterable, int64_t depth,
                const ScopePtr& scope, std::string& out);
  void assign(const Target& target, const Value& value, const ScopePtr& scope);
  void print(std::string_view text, std::string& out);
  // Applies the filters of a block to the text it printed.
  Value filter_text(const Expr& filtered, std::string text, const ScopePtr& scope);
  Value make_macro(const std::shared_ptr<const MacroCode>& code, const ScopePtr& scope);
  ScopePtr inner(const ScopePtr& scope) const { return std::make_shared<Scope>(scope); }
  // The scope in which a body runs.
  ScopePtr enter(const Body& body, const ScopePtr& around);

  [[noreturn]] void place(const Fault& fault, Position at) const {
    fail_at(where_, at, fault.what());
  }

  Runtime& runtime_;
  const std::string& where_;
  const std::string* root_output_ = nullptr;
  std::vector<GeneratedSpan> generated_;
  std::vector<Value> block_texts_;
  std::vector<ScopePtr> captured_;  // by macros; emptied at the end to break the cycles
};

}  // namespace ashlar::text::jinja
