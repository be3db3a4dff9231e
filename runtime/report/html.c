#include "runtime/report/html.h"

#include "runtime/text/shown.h"
#include "runtime/text/unicode.h"

#include <math.h>
#include <string.h>

// --- text ---------------------------------------------------------------------------------------------

// Writes the character at the beginning of a text; returns how many bytes it has.
static size_t write_character(FILE *out, const char *at) {
    uint32_t c;
    size_t n = ftc_utf8_decode(at, strnlen(at, 4), &c);
    if (n == 0) {
        fputs("\uFFFD", out);
        return 1;
    }
    switch (c) {
    case '&': fputs("&amp;", out); break;
    case '<': fputs("&lt;", out); break;
    case '>': fputs("&gt;", out); break;
    case '"': fputs("&quot;", out); break;
    case '\'': fputs("&#39;", out); break;
    case '\r':
        if (at[1] != '\n') fputc('\n', out);
        break;
    default:
        if (ftc_shown_is_hidden(c)) {
            fputs("\uFFFD", out);
        } else {
            fwrite(at, 1, n, out);
        }
    }
    return n;
}

void ftc_html_text(FILE *out, const char *text) {
    while (*text) text += write_character(out, text);
}

void ftc_html_excerpt(FILE *out, const char *text, int64_t most) {
    for (int64_t n = 0; *text && n < most; n++) text += write_character(out, text);
    if (!*text) return;
    int64_t left = 0;
    for (uint32_t c; *text; left++) {
        size_t n = ftc_utf8_decode(text, strnlen(text, 4), &c);
        text += n ? n : 1;
    }
    fprintf(out, "… <small>(%lld more characters)</small>", (long long)left);
}

// --- axes ---------------------------------------------------------------------------------------------

// In units of the view box. The plot lies inside of the margins.
enum { WIDTH = 720, HEIGHT = 270, LEFT = 72, RIGHT = 14, TOP = 30, BOTTOM = 42, MOST_POINTS = 600 };

// Values from `low` to `high` on `pixels` units, with lines at (first + i) * step.
typedef struct {
    double low, high, step;
    double first;
    int lines;
    double origin, pixels; // pixels is negative where values grow upwards
} axis;

static double place(const axis *a, double value) {
    return a->origin + (value - a->low) / (a->high - a->low) * a->pixels;
}

static double line_at(const axis *a, int i) {
    return (a->first + i) * a->step;
}

// 1, 2 or 5 times a power of ten, so that there are about `lines` steps in `range`.
static double nice_step(double range, int lines) {
    double raw = range / lines, power = pow(10, floor(log10(raw))), digit = raw / power;
    return (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10) * power;
}

// Values are told apart down to a billionth of the largest; those that are closer make one value, which
// stands in the middle. Beyond LARGEST they lie outside of the plot.
static axis make_axis(double low, double high, int lines, bool rounded) {
    static const double SMALLEST = 1e-290, LARGEST = 1e290;
    low = fmax(fmin(low, LARGEST), -LARGEST);
    high = fmax(fmin(high, LARGEST), -LARGEST);
    double size = fmax(fmax(fabs(low), fabs(high)), SMALLEST);
    if (!(high - low > size * 1e-9)) {
        double around = size > SMALLEST ? size / 2 : 1;
        low -= around;
        high = low + 2 * around;
    }
    axis a = {.low = low, .high = high, .step = nice_step(high - low, lines)};
    if (rounded) {
        a.low = floor(low / a.step + 1e-9) * a.step;
        a.high = ceil(high / a.step - 1e-9) * a.step;
    }
    a.first = ceil(a.low / a.step - 1e-9);
    a.lines = (int)fmin(floor(a.high / a.step + 1e-6) - a.first + 1, 4 * lines);
    return a;
}

static void place_axes(axis *x, axis *y) {
    x->origin = LEFT;
    x->pixels = WIDTH - LEFT - RIGHT;
    y->origin = HEIGHT - BOTTOM;
    y->pixels = -(HEIGHT - BOTTOM - TOP);
}

static void write_axes(FILE *out, const axis *x, const axis *y, const char *x_name, const char *y_name) {
    fputs("<g class=\"axis\">\n", out);
    for (int i = 0; i < y->lines; i++) {
        double at = place(y, line_at(y, i));
        fprintf(
            out,
            "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" class=\"end\">%.8g</text>\n",
            LEFT, at, WIDTH - RIGHT, LEFT - 8, at + 4, line_at(y, i));
    }
    for (int i = 0; i < x->lines; i++) {
        double at = place(x, line_at(x, i));
        fprintf(out, "<path d=\"M%.1f %dv5\"/><text x=\"%.1f\" y=\"%d\" class=\"mid\">%.8g</text>\n", at,
                HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 19, line_at(x, i));
    }
    fprintf(out, "<path d=\"M%d %dH%d\"/><text x=\"%d\" y=\"%d\" class=\"mid\">", LEFT, HEIGHT - BOTTOM,
            WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5);
    ftc_html_text(out, x_name);
    fprintf(out, "</text><text x=\"%d\" y=\"14\">", 4);
    ftc_html_text(out, y_name);
    fputs("</text>\n</g>\n", out);
}

static void begin_figure(FILE *out, const char *title, const char *summary) {
    fputs("<figure>\n<figcaption>", out);
    ftc_html_text(out, title);
    fprintf(out, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    ftc_html_text(out, title);
    fputs(": ", out);
    ftc_html_text(out, summary);
    fputs("\">\n", out);
}

static void end_figure(FILE *out) {
    fputs("</svg>\n</figure>\n", out);
}

// --- charts -------------------------------------------------------------------------------------------

// Writes the points as a path; more than can be seen become the means of neighbours.
static void write_path(FILE *out, const axis *x, const axis *y, const ftc_series *s) {
    int64_t bucket = (s->n + MOST_POINTS - 1) / MOST_POINTS;
    for (int64_t i = 0; i < s->n; i += bucket) {
        ftc_point mean = {0};
        int64_t n = s->n - i < bucket ? s->n - i : bucket;
        for (int64_t k = i; k < i + n; k++) {
            mean.x += s->points[k].x / (double)n;
            mean.y += s->points[k].y / (double)n;
        }
        fprintf(out, "%c%.1f %.1f", i ? 'L' : 'M', place(x, mean.x), place(y, mean.y));
    }
}

static void write_staircase(FILE *out, const axis *x, const axis *y, const ftc_series *s) {
    fprintf(out, "M%.1f %.1f", place(x, s->points[0].x), place(y, y->low));
    for (int64_t i = 0; i < s->n; i++) {
        double until = i + 1 < s->n ? s->points[i + 1].x : x->high;
        fprintf(out, "V%.1fH%.1f", place(y, s->points[i].y), place(x, until));
    }
    fprintf(out, "V%.1fZ", place(y, y->low));
}

static void write_points(FILE *out, const axis *x, const axis *y, const ftc_chart *chart,
                         const ftc_series *s) {
    for (int64_t i = 0; i < s->n; i++) {
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>", place(x, s->points[i].x),
                place(y, s->points[i].y), s->style == FTC_SERIES_CLOUD ? "2" : "3.5");
        ftc_html_text(out, s->name);
        fprintf(out, ": %.6g at ", s->points[i].y);
        ftc_html_text(out, chart->x_name);
        fprintf(out, " %.6g</title></circle>\n", s->points[i].x);
    }
}

static void write_series(FILE *out, const axis *x, const axis *y, const ftc_chart *chart,
                         const ftc_series *s) {
    static const char *const CLASSES[] = {[FTC_SERIES_LINE] = "line",
                                          [FTC_SERIES_FAINT] = "line faint",
                                          [FTC_SERIES_DOTS] = "line dots",
                                          [FTC_SERIES_CLOUD] = "cloud",
                                          [FTC_SERIES_STEPS] = "area"};
    fprintf(out, "<g class=\"%s c%d\">\n", CLASSES[s->style], s->color);
    if (s->style != FTC_SERIES_CLOUD) {
        fputs("<path d=\"", out);
        (s->style == FTC_SERIES_STEPS ? write_staircase : write_path)(out, x, y, s);
        fputs("\"/>\n", out);
    }
    if (s->style == FTC_SERIES_DOTS || s->style == FTC_SERIES_CLOUD) write_points(out, x, y, chart, s);
    fputs("</g>\n", out);
}

// The names of the series at the upper right, from right to left.
static void write_legend(FILE *out, const ftc_chart *chart) {
    double x = WIDTH - RIGHT;
    for (int i = chart->n_series - 1; i >= 0; i--) {
        const ftc_series *s = &chart->series[i];
        if (!s->n) continue;
        x -= 7.0 * (double)strlen(s->name) + 32; // seven units a letter at this size
        fprintf(out, "<g class=\"%s c%d\"><path d=\"M%.0f 10h16\"/></g><text x=\"%.0f\" y=\"14\">",
                s->style == FTC_SERIES_FAINT ? "line faint" : "line", s->color, x, x + 21);
        ftc_html_text(out, s->name);
        fputs("</text>\n", out);
    }
}

void ftc_html_chart(FILE *out, const ftc_chart *chart) {
    double x_low = chart->x_from_zero ? 0 : INFINITY, x_high = chart->x_to > 0 ? chart->x_to : -INFINITY,
           y_low = chart->y_from_zero ? 0 : INFINITY, y_high = -INFINITY;
    int shown = 0;
    for (int i = 0; i < chart->n_series; i++) {
        const ftc_series *s = &chart->series[i];
        shown += s->n > 0;
        for (int64_t k = 0; k < s->n; k++) {
            x_low = fmin(x_low, s->points[k].x);
            x_high = fmax(x_high, s->points[k].x);
            y_low = fmin(y_low, s->points[k].y);
            y_high = fmax(y_high, s->points[k].y);
        }
    }
    if (!shown) return;
    axis x = make_axis(x_low, x_high, 8, false), y = make_axis(y_low, y_high, 5, true);
    place_axes(&x, &y);
    begin_figure(out, chart->title, chart->summary);
    write_axes(out, &x, &y, chart->x_name, chart->y_name);
    for (int i = 0; i < chart->n_series; i++) {
        if (chart->series[i].n) write_series(out, &x, &y, chart, &chart->series[i]);
    }
    if (shown > 1) write_legend(out, chart);
    end_figure(out);
}

void ftc_html_histogram(FILE *out, const ftc_histogram *h) {
    int64_t most = 0;
    for (int i = 0; i < h->n; i++) most = h->counts[i] > most ? h->counts[i] : most;
    if (!most) return;
    axis x = make_axis(0, (double)(h->width * h->n), 8, false), y = make_axis(0, (double)most, 5, true);
    place_axes(&x, &y);
    begin_figure(out, h->title, h->summary);
    write_axes(out, &x, &y, h->x_name, h->y_name);
    fputs("<g class=\"bars c1\">\n", out);
    for (int i = 0; i < h->n; i++) {
        double left = place(&x, (double)(i * h->width)), right = place(&x, (double)((i + 1) * h->width));
        double top = place(&y, (double)h->counts[i]);
        if (!h->counts[i]) continue;
        fprintf(out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%lld to %lld: "
                "%lld</title></rect>\n",
                left + 0.5, top, right - left - 1, HEIGHT - BOTTOM - top, (long long)(i * h->width),
                (long long)((i + 1) * h->width - 1), (long long)h->counts[i]);
    }
    fputs("</g>\n", out);
    end_figure(out);
}
