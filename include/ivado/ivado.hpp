// ivado: deep learning on medical images. The one header that an experiment includes.
#pragma once

#include "data/info.hpp"
#include "data/phantom.hpp"
#include "pipeline.hpp"
#include "postprocess/binarize.hpp"
#include "postprocess/binarize_maxpooling.hpp"
#include "postprocess/dynamic_postprocess.hpp"
#include "postprocess/fill_holes.hpp"
#include "postprocess/keep_largest.hpp"
#include "postprocess/postprocess.hpp"
#include "postprocess/remove_noise.hpp"
#include "postprocess/remove_small.hpp"
#include "postprocess/threshold_uncertainty.hpp"
#include "transform/transform.hpp"
#include "version.hpp"
