// All losses.
#pragma once

#include "adap_wing_loss.hpp"
#include "any_loss.hpp"
#include "binary_cross_entropy_loss.hpp"
#include "concept.hpp"
#include "dice_cross_entropy_loss.hpp"
#include "dice_loss.hpp"
#include "focal_dice_loss.hpp"
#include "focal_loss.hpp"
#include "focal_tversky_loss.hpp"
#include "generalized_dice_loss.hpp"
#include "l2loss.hpp"
#include "loss_choice.hpp"
#include "loss_combination.hpp"
#include "multi_class_dice_loss.hpp"
#include "tversky_loss.hpp"
