// Every loss of ivado, chosen at run time.
#pragma once

#include "concept.hpp"
#include "loss_choice.hpp"
#include "loss_combination.hpp"

namespace ivado {

/// Every loss of ivado.
using AnyLoss = SingleLoss::With<LossCombination>;

static_assert(Loss<AnyLoss>);

}  // namespace ivado
