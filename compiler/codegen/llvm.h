// LLVM would end the process where it runs out of memory or meets a fault of its own. Between enter and leave
// it gives up the work of the innermost scope instead (ir/base/alloc.h). What it was doing then stays as it
// is, locks included, so nobody enters it again: this process can load and compile nothing more.
#ifndef FTC_CODEGEN_LLVM_H
#define FTC_CODEGEN_LLVM_H

#include <stdbool.h>

// Calls may be nested. Gives up at once when LLVM was lost before.
void ftc_llvm_enter(void);
void ftc_llvm_leave(void);

// Whether LLVM gave up: what it has made is neither used nor freed any more.
bool ftc_llvm_is_lost(void);

#endif
