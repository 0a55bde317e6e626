#include "wal/wal.h"
