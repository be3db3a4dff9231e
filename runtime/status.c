#include "runtime/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

ftc_status ftc_status_make(ftc_status_code code, const char *format, ...) {
    ftc_status status = {code, NULL};
    va_list args;
    va_start(args, format);
    if (vasprintf(&status.message, format, args) < 0) status.message = NULL;
    va_end(args);
    return status;
}

ftc_status ftc_status_annotate(ftc_status status, const char *format, ...) {
    if (status.code == FTC_OK) return status;
    char *context = NULL, *message = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&context, format, args) < 0) context = NULL;
    va_end(args);
    if (context &&
        asprintf(&message, "%s: %s", context, status.message ? status.message : "out of memory") >= 0) {
        free(status.message);
        status.message = message;
    }
    free(context);
    return status;
}

void ftc_status_free(ftc_status *status) {
    free(status->message);
    *status = FTC_STATUS_OK;
}
