#include "raft/raft.h"
