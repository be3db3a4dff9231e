// Text and charts in an HTML page, written to a stream.
#ifndef FTC_RUNTIME_HTML_H
#define FTC_RUNTIME_HTML_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// Writes UTF-8 text so that it means itself in elements and in quoted attributes. Line ends become \n; other
// characters that are not seen but change what is (shown.h) become U+FFFD.
void ftc_html_text(FILE *out, const char *text);

// The same for at most `most` characters; where text is left out stands an ellipsis and how much it was.
void ftc_html_excerpt(FILE *out, const char *text, int64_t most);

typedef struct {
    double x, y;
} ftc_point;

typedef enum {
    FTC_SERIES_LINE,
    FTC_SERIES_FAINT, // a thin, pale line: what another series is the mean of
    FTC_SERIES_DOTS,  // a line through marked points, whose values show up under the pointer
    FTC_SERIES_CLOUD, // points alone
    FTC_SERIES_STEPS, // a filled staircase: y holds from its x to the next
} ftc_series_style;

typedef struct {
    const char *name;
    ftc_series_style style;
    int color;               // 1 … 4: a colour of the page's palette
    const ftc_point *points; // [n] in order of x, all finite
    int64_t n;
} ftc_series;

enum { FTC_CHART_MOST_SERIES = 4 };

typedef struct {
    const char *title;
    const char *summary; // what the chart shows, for those who do not see it
    const char *x_name, *y_name;
    bool x_from_zero, y_from_zero; // else from the least value
    double x_to;                   // the axis goes at least so far
    const ftc_series *series;      // [n_series]; those without points are left out
    int n_series;
} ftc_chart;

// Writes a figure with the chart as SVG; nothing when no series has points.
void ftc_html_chart(FILE *out, const ftc_chart *chart);

// Writes a histogram as a figure: counts[i] of the values from i * width to (i + 1) * width - 1.
typedef struct {
    const char *title, *summary, *x_name, *y_name;
    const int64_t *counts; // [n]
    int n;
    int64_t width;
} ftc_histogram;

void ftc_html_histogram(FILE *out, const ftc_histogram *histogram);

#endif
