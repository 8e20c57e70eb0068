#include "tests/serve/http_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace ashlar::serve {
namespace {

// A self-signed certificate and its key, made for the test.
class HttpTlsTest : public HttpTest {
 protected:
  HttpTlsTest() : folder_(fmt::format("{}/ashlar_tls_{}", testing::TempDir(), ::getpid())) {
    std::filesystem::create_directories(folder_);
    cert_ = folder_ + "/cert.pem";
    key_ = folder_ + "/key.pem";
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME* name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    write(cert_, [&](FILE* file) { PEM_write_X509(file, cert); });
    write(key_, [&](FILE* file) {
      PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  ~HttpTlsTest() override {
    server.reset();
    std::filesystem::remove_all(folder_);
  }

  template <typename F>
  static void write(const std::string& path, F content) {
    FILE* file = std::fopen(path.c_str(), "w");
    content(file);
    std::fclose(file);
  }

  std::string error_of(const std::string& cert, const std::string& key) {
    options.tls_cert = cert;
    options.tls_key = key;
    try {
      HttpServer refused(options, backend, clock);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  void start_with_tls() {
    options.tls_cert = cert_;
    options.tls_key = key_;
    start();
  }

  std::string folder_, cert_, key_;
};

TEST_F(HttpTlsTest, ServesAndStreams) {
  backend.answer_all(3);
  start_with_tls();
  EXPECT_TRUE(server->url().starts_with("https://127.0.0.1:"));
  RawClient c = client();
  c.start_tls();
  EXPECT_EQ(c.get("/health").status, 200);
  EXPECT_EQ(sse_events(c.post("/v1/completions", streamed_completion()).body).back(), "[DONE]");
  const RawResponse last = c.request("GET", "/health", "", "Connection: close\r\n");
  EXPECT_EQ(last.status, 200);
  EXPECT_TRUE(c.closed_by_peer());
}

TEST_F(HttpTlsTest, CancelsWhenTheClientLeaves) {
  start_with_tls();
  RawClient c = client();
  c.start_tls();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  submitted.text(0, "a");
  c.read_until("\"text\":\"a\"");
  c.close();
  EXPECT_TRUE(backend.wait_cancelled(submitted.id));
}

TEST_F(HttpTlsTest, PlainTextOnATlsPortEndsThatConnectionOnly) {
  start_with_tls();
  RawClient plain = client();
  plain.send(request_text("GET", "/health"));
  EXPECT_EQ(plain.response().status, 0);
  RawClient c = client();
  c.start_tls();
  EXPECT_EQ(c.get("/health").status, 200);
}

TEST_F(HttpTlsTest, BadFilesAreNamed) {
  const std::string junk = folder_ + "/junk.pem";
  std::ofstream(junk) << "not a certificate\n";
  EXPECT_NE(error_of(junk, key_).find("TLS certificate '" + junk + "'"), std::string::npos);
  EXPECT_NE(error_of(cert_, junk).find("TLS key '" + junk + "'"), std::string::npos);
  EXPECT_EQ(error_of(cert_, folder_ + "/none.pem"),
            "TLS key '" + folder_ + "/none.pem': no such file");
  EXPECT_EQ(error_of(cert_, key_), "");
}

}  // namespace
}  // namespace ashlar::serve
