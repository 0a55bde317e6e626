#include "core/members.h"
