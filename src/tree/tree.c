#include "tree/tree.h"
