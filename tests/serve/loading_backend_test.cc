// A server whose model still loads, over real sockets: it listens, says so, and then serves.
#include "ashlar/serve/loading_backend.h"

#include "tests/serve/http_fixture.h"

namespace ashlar::serve {
namespace {

class LoadingBackendTest : public HttpTest {
 protected:
  void start_loading() {
    server = std::make_unique<HttpServer>(options, loading, clock);
    server->start();
  }
  void TearDown() override { server.reset(); }  // before what it answers from

  LoadingBackend loading{"tiny"};
};

TEST_F(LoadingBackendTest, RefusesEverythingUntilTheModelIsThere) {
  start_loading();
  RawClient c = client();
  loading.show("packing weights", 0.25);
  const RawResponse health = c.get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(json_value(health.body, "status"), "loading model");
  EXPECT_EQ(json_value(health.body, "stage"), "packing weights");
  EXPECT_EQ(json_value(health.body, "fraction"), "0.25");
  for (const char* path : {"/v1/models", "/v1/models/tiny"}) {
    const RawResponse refused = c.get(path);
    EXPECT_EQ(refused.status, 503) << path;
    EXPECT_EQ(json_value(refused.body, "code"), "model_loading") << path;
  }
  for (const char* path :
       {"/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize"}) {
    const RawResponse refused = c.post(path, "not even JSON");
    EXPECT_EQ(refused.status, 503) << path;
    EXPECT_EQ(json_value(refused.body, "code"), "model_loading") << path;
    EXPECT_EQ(json_value(refused.body, "message"), "the model is loading (packing weights, 25%)");
    EXPECT_EQ(refused.headers.at("retry-after"), "1") << path;
  }
  EXPECT_EQ(c.get("/metrics").status, 200);

  backend.answer_all(3);
  loading.finish(backend);
  EXPECT_EQ(c.get("/health").status, 200);
  EXPECT_EQ(c.get("/v1/models").status, 200);
  const RawResponse answer = c.post("/v1/completions", completion());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json_value(answer.body, "text"), "w0 w1 w2 ");
}

TEST_F(LoadingBackendTest, ItsOwnDoorsAreShutToo) {
  EXPECT_THROW(loading.submit({}, nullptr), RequestError);
  EXPECT_THROW(loading.tokenize(TokenIds{1}, nullptr), RequestError);
  EXPECT_THROW(loading.detokenize({1}, nullptr), RequestError);
  EXPECT_EQ(loading.models().front().id, "tiny");
  EXPECT_EQ(loading.stats().running, 0);
}

TEST_F(LoadingBackendTest, AServerToldToStopMeanwhileEnds) {
  start_loading();
  EXPECT_FALSE(server->stopping());
  server->drain();
  EXPECT_EQ(server->wait(), 0);
  EXPECT_TRUE(server->stopping());
}

}  // namespace
}  // namespace ashlar::serve
