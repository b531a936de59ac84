/* Prints the sensitive rows of the opcode table, each with where it exists: "ID legacy 64". */
#include "cpu/insn.h"

#include <stdio.h>

int main(void)
{
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        if (opcode_rows[row].attributes & A_SENSITIVE)
            printf("%s%s%s\n", opcode_rows[row].id, opcode_rows[row].modes & X_LEGACY ? " legacy" : "",
                   opcode_rows[row].modes & X_64 ? " 64" : "");
    return 0;
}
