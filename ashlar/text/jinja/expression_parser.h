// The expression half of the parser, and the token stream both halves read. Operators by precedence
// are in expression_parser.cc, what follows an operand in expression_postfix.cc, where an
// expression begins in expression_primary.cc.
#pragma once

#include "ashlar/text/jinja/ast.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const std::string& where, int max_nesting)
      : tokens_(std::move(tokens)), where_(where), max_nesting_(max_nesting) {}

 protected:
  // How a tuple without parentheses ends, besides at %}, }} and ')'.
  struct TupleRules {
    bool conditions = true;    // `a if b` allowed in it
    bool parentheses = false;  // inside parentheses: may be empty
    std::string_view end_name = {};
  };

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take();
  bool take_operator(std::string_view symbol);
  bool take_name(std::string_view name);
  void expect_operator(std::string_view symbol);
  void expect(TokenType type, std::string_view what);
  std::string expect_any_name(std::string_view what);
  [[noreturn]] void fail(std::string_view message) const { fail_at(where_, current().at, message); }
  [[noreturn]] void fail(Position at, std::string_view message) const {
    fail_at(where_, at, message);
  }

  ExprPtr expression(bool conditions = true);
  ExprPtr tuple(const TupleRules& rules);
  ExprPtr primary();
  // `| name(...) | name(...)` onto `operand`; starts_inline: the first has no bar.
  ExprPtr filters(ExprPtr operand, bool starts_inline = false);
  CallArguments call_arguments();

  template <typename Node>
  static ExprPtr make(Position at, Node node) {
    return std::make_unique<Expr>(Expr{at, std::move(node)});
  }

  // Counts the depth of the tree being built; restored when the guard goes.
  class Depth {
   public:
    explicit Depth(ExpressionParser& parser) : parser_(parser), before_(parser.nesting_) {
      deepen();
    }
    ~Depth() { parser_.nesting_ = before_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    void deepen();

   private:
    ExpressionParser& parser_;
    int before_;
  };

  // A filter or test of unknown name: an error at load, but only when reached if it stands in a
  // condition (`if` tag or `a if b`) that is in the same scope.
  struct Unknown {
    Position at;
    std::string message;
    bool in_inner_scope = false;
  };
  void forgive_unknown(size_t since);
  void keep_unknown(size_t since);
  std::vector<Unknown> unknown_;
  // The macros being parsed; told which special names their bodies use.
  std::vector<MacroCode*> macros_;

 private:
  ExprPtr conditional();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr postfix(ExprPtr operand);
  ExprPtr filters_and_tests(ExprPtr operand);
  ExprPtr subscript(ExprPtr object);
  ExprPtr bracket(ExprPtr object, Position at);
  ExprPtr call(ExprPtr function);
  ExprPtr test(ExprPtr operand);
  ExprPtr name();
  ExprPtr string();
  ExprPtr list();
  ExprPtr dict();
  std::string dotted_name(std::string_view what);
  bool at_tuple_end(const TupleRules& rules) const;

  std::vector<Token> tokens_;
  const std::string& where_;
  const int max_nesting_;
  size_t at_ = 0;
  int nesting_ = 0;
};

// A token in words, for messages.
std::string described(const Token& token);

}  // namespace ashlar::text::jinja
