// The general program for models of volumes: a pipeline of its own, on 3-D sub-volumes.
#include "volumes.hpp"

#include <ivado/ivado.hpp>

#ifdef IVADO_WITH_ONNX
#include <ivado/interop/onnx_command.hpp>
using Exporter = ivado::OnnxExporter;
#else
using Exporter = ivado::NoExporter;
#endif

using Volumes =
    ivado::Pipeline<ivado::BidsLoader<ivado::AnySubvolumes, ivado::Channels<ivado::dynamic>,
                                      ivado::Classes<ivado::dynamic>, ivado::MissingContrasts, ivado::Metadata>,
                    ivado::AnyCompose, ivado::AnyModel3d, ivado::AnyLoss, ivado::AnyPostProcess, ivado::AnyScheduler,
                    ivado::AnyOptimizer, ivado::StageTimer, Exporter>;

int run_on_volumes(int argc, char** argv) { return ivado::main<Volumes>(argc, argv); }
