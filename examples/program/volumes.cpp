// The general program for models of volumes: a pipeline of its own, on 3-D sub-volumes.
#include "volumes.hpp"

#include <ivado/ivado.hpp>
#include <ivado/profile/system_profiler.hpp>

#include "detector.hpp"
#include "loader.hpp"

#ifdef IVADO_WITH_ONNX
#include <ivado/interop/onnx_command.hpp>
using Exporter = ivado::OnnxExporter;
#else
using Exporter = ivado::NoExporter;
#endif
#ifdef IVADO_WITH_REPORT
#include <ivado/interop/gif_film.hpp>
using Film = ivado::GifFilm;
#else
using Film = ivado::NoFilm;
#endif
#ifdef IVADO_WITH_ENGINE
#include <ivado/nn/onednn_backend.hpp>
using ProgramBackend = ivado::OneDnnBackend;
#else
using ProgramBackend = ivado::LibTorchBackend;
#endif

using Volumes = ivado::Pipeline<GeneralLoader<ivado::AnySubvolumes>, ivado::AnyCompose, ivado::AnyModel3d,
                                ivado::AnyLoss, ivado::AnyPostProcess, ivado::AnyScheduler, ivado::AnyOptimizer,
                                ivado::SystemProfiler<ivado::SystemOptions{.is_on = false}>, Exporter, Film,
                                ProgramDetector, ProgramBackend>;

std::vector<ivado::Detection> detect_on_volumes(const ivado::DetectionRequest& request) {
  return ivado::PackagedDetector<Volumes>{}(request);
}

int run_on_volumes(int argc, char** argv) { return ivado::main<Volumes>(argc, argv); }

std::vector<std::string> segment_image_of_volumes(const ivado::SegmentImageOptions& options) {
  return ivado::segment_image<Volumes>(options);
}
