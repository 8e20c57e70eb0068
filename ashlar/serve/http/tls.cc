#include "ashlar/base/error.h"
#include "ashlar/serve/http/transport.h"

#include <filesystem>

namespace ashlar::serve {
namespace {

namespace ssl = boost::asio::ssl;

void check_file(const std::string& path, const char* what) {
  std::error_code error;
  ASHLAR_CHECK(std::filesystem::is_regular_file(path, error), "TLS {} '{}': no such file", what,
               path);
}

}  // namespace

std::unique_ptr<ssl::context> load_tls(const std::string& cert_file, const std::string& key_file) {
  check_file(cert_file, "certificate");
  check_file(key_file, "key");
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  // Without this OpenSSL would ask for a password at the terminal.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return ""; });
  boost::system::error_code error;
  context->use_certificate_chain_file(cert_file, error);
  ASHLAR_CHECK(!error, "TLS certificate '{}': {}; wanted a PEM file, the server's own first",
               cert_file, error.message());
  context->use_private_key_file(key_file, ssl::context::pem, error);
  ASHLAR_CHECK(!error, "TLS key '{}': {}; wanted the certificate's private key, PEM, no password",
               key_file, error.message());
  return context;
}

}  // namespace ashlar::serve
