// All transforms, and the chain that the general program chooses from them.
#pragma once

#include "additive_gaussian_noise.hpp"
#include "bounding_box_crop.hpp"
#include "center_crop.hpp"
#include "clahe.hpp"
#include "compose.hpp"
#include "concept.hpp"
#include "dilate_gt.hpp"
#include "dynamic_compose.hpp"
#include "elastic_transform.hpp"
#include "fused.hpp"
#include "histogram_clipping.hpp"
#include "normalize_instance.hpp"
#include "random_affine.hpp"
#include "random_bias_field.hpp"
#include "random_blur.hpp"
#include "random_gamma.hpp"
#include "random_ghosting.hpp"
#include "random_motion.hpp"
#include "random_reverse.hpp"
#include "random_shift_intensity.hpp"
#include "random_spike.hpp"
#include "resample.hpp"
#include "roi_crop.hpp"

namespace ivado {

/// Any chain of the transforms that ivado has, chosen at run time by `transformation`.
using AnyCompose =
    DynamicCompose<Resample, CenterCrop, ROICrop, BoundingBoxCrop, NormalizeInstance, HistogramClipping, Clahe,
                   RandomShiftIntensity, RandomGamma, RandomBiasField, RandomBlur, RandomMotion, RandomGhosting,
                   RandomSpike, AdditiveGaussianNoise, RandomAffine, RandomReverse, ElasticTransform, DilateGT>;

}  // namespace ivado
