// All transforms, and the chain that the general program chooses from them.
#pragma once

#include "center_crop.hpp"
#include "compose.hpp"
#include "concept.hpp"
#include "dynamic_compose.hpp"
#include "elastic_transform.hpp"
#include "normalize_instance.hpp"
#include "random_affine.hpp"
#include "resample.hpp"

namespace ivado {

/// Any chain of the transforms that ivado has, chosen at run time by `transformation`.
using AnyCompose = DynamicCompose<Resample, CenterCrop, NormalizeInstance, RandomAffine, ElasticTransform>;

}  // namespace ivado
