#include "fixed/fixed.h"
