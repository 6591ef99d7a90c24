// All losses.
#pragma once

#include "concept.hpp"
#include "dice_loss.hpp"
