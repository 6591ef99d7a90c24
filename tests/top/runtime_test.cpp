// What a program sets up: threads of LibTorch and of the BLAS, and what it refuses.
#include <dlfcn.h>

#include <ivado/runtime.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

TEST_CASE("The number of threads is that of LibTorch and of OpenBLAS") {
  using GetThreads = int (*)();
  const auto blas_threads = reinterpret_cast<GetThreads>(::dlsym(RTLD_DEFAULT, "openblas_get_num_threads"));
  if (blas_threads == nullptr) WARN("OpenBLAS is not in use: its threads are not checked");
  for (const int threads : {2, 1}) {
    const Runtime runtime = start_runtime({.threads = threads});
    CHECK(runtime.threads == threads);
    CHECK(at::get_num_threads() == threads);
    if (blas_threads != nullptr) CHECK(blas_threads() == threads);
  }
}

TEST_CASE("Impossible settings are refused") {
  CHECK_THROWS_WITH(start_runtime({.threads = 0}), Contains("--threads 0"));
  CHECK_THROWS_WITH(start_runtime({.threads = 1, .gpu_ids = {}}), Contains("gpu_ids"));
}
