// The parsed template: expressions and statements as plain structs, positions for error messages.
#pragma once

#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/lexer.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/predicates.h"
#include "ashlar/text/jinja/value.h"

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ashlar::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional;  // *expression, may be null
  ExprPtr more_named;       // **expression, may be null
};

struct Literal {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct TupleExpr {
  std::vector<ExprPtr> items;
};
struct ListExpr {
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct ConditionalExpr {
  ExprPtr test, then, otherwise;  // otherwise may be null
};
struct BinaryExpr {
  BinaryOp op;
  ExprPtr left, right;
};
struct LogicalExpr {
  bool is_and;
  ExprPtr left, right;
};
struct NotExpr {
  ExprPtr operand;
};
struct SignExpr {
  bool negative;
  ExprPtr operand;
};
struct ConcatExpr {
  std::vector<ExprPtr> parts;
};
struct ComparisonExpr {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct ItemExpr {
  ExprPtr object, key;
};
struct SliceExpr {
  ExprPtr object, start, stop, step;  // bounds may be null
};
struct CallExpr {
  ExprPtr function;
  CallArguments arguments;
};
// filter and predicate are null for an unknown name inside a condition: an error only if reached.
struct FilterExpr {
  ExprPtr operand;
  std::string name;
  Filter filter;
  CallArguments arguments;
};
struct TestExpr {
  ExprPtr operand;
  std::string name;
  Predicate predicate;
  CallArguments arguments;
};
// What the body of a filter block or a block set printed.
struct BlockTextExpr {};

struct Expr {
  Position at;
  std::variant<Literal, NameExpr, TupleExpr, ListExpr, DictExpr, ConditionalExpr, BinaryExpr,
               LogicalExpr, NotExpr, SignExpr, ConcatExpr, ComparisonExpr, AttributeExpr, ItemExpr,
               SliceExpr, CallExpr, FilterExpr, TestExpr, BlockTextExpr>
      node;
};

// Where an assignment goes: a name, ns.name, or a tuple of targets.
struct Target {
  Position at;
  std::string name;
  std::string attribute;      // of the namespace `name`; empty for a plain name
  std::vector<Target> items;  // not empty: a tuple
  bool is_tuple = false;
};

struct Statement;
using Block = std::vector<Statement>;

// Statements with variables of their own.
struct Body {
  Block statements;
  // The names that are undefined here until they are set, whatever the bodies around have
  // (unset_names.h), and the value each has until then.
  std::vector<std::pair<std::string, Value>> unset;
};

// The body of a macro, or of a call or generation block.
struct MacroCode {
  std::string name;  // empty for a block
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct DataStatement {
  std::string text;
};
struct PrintStatement {
  ExprPtr value;
};
struct ForStatement {
  Target target;
  ExprPtr iterable, test;  // test may be null
  Body body, otherwise;
  bool recursive = false;
};
struct IfStatement {
  std::vector<std::pair<ExprPtr, Block>> branches;
  Block otherwise;
};
struct SetStatement {
  Target target;
  ExprPtr value;
};
struct SetBlockStatement {
  Target target;
  ExprPtr filtered;  // null without filters
  Body body;
};
struct MacroStatement {
  std::shared_ptr<MacroCode> code;
};
struct CallBlockStatement {
  std::shared_ptr<MacroCode> code;
  ExprPtr call;  // a CallExpr
};
struct FilterBlockStatement {
  ExprPtr filtered;
  Body body;
};
struct WithStatement {
  std::vector<std::pair<Target, ExprPtr>> variables;
  Body body;
};
struct GenerationStatement {
  std::shared_ptr<MacroCode> code;  // without parameters
};
struct BreakStatement {};
struct ContinueStatement {};

struct Statement {
  Position at;
  std::variant<DataStatement, PrintStatement, ForStatement, IfStatement, SetStatement,
               SetBlockStatement, MacroStatement, CallBlockStatement, FilterBlockStatement,
               WithStatement, GenerationStatement, BreakStatement, ContinueStatement>
      node;
};

}  // namespace ashlar::text::jinja
