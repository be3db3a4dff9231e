#include "runtime/loop/progress.h"

#include <math.h>
#include <stdio.h>

void ftc_progress_format(const ftc_progress *p, int bar_width, char *text, size_t bytes) {
    FILE *to = fmemopen(text, bytes, "w");
    if (!to) return;
    fprintf(to, "%-5s ", p->what);
    if (bar_width > 0) {
        int64_t filled = p->total > 0 ? p->done * bar_width / p->total : 0;
        fputc('[', to);
        for (int i = 0; i < bar_width; i++) fputc(i < filled ? '#' : '.', to);
        fputs("] ", to);
    }
    fprintf(to, "%lld/%lld", (long long)p->done, (long long)p->total);
    if (p->epoch >= 0) fprintf(to, "  epoch %.2f", p->epoch);
    if (!isnan(p->loss)) fprintf(to, "  loss %.4f", p->loss);
    if (!isnan(p->accuracy)) fprintf(to, "  accuracy %.3f", p->accuracy);
    if (p->examples_per_second > 0) fprintf(to, "  %.1f examples/s", p->examples_per_second);
    if (p->tokens_per_second > 0) fprintf(to, "  %.0f tokens/s", p->tokens_per_second);
    if (p->seconds_left >= 0 && p->seconds_left < 1e7 && p->done < p->total) {
        long long s = (long long)ceil(p->seconds_left);
        if (s >= 3600) {
            fprintf(to, "  %lld:%02lld:%02lld left", s / 3600, s / 60 % 60, s % 60);
        } else {
            fprintf(to, "  %lld:%02lld left", s / 60, s % 60);
        }
    }
    fclose(to);
}
