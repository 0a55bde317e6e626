#include "core/txn.h"
