/* The command `quorate sim` alone: what the tests of this folder run. */
#include "bin/bin.h"

int main(int argc, char **argv)
{
    return qr_simulate_main(argc, argv);
}
