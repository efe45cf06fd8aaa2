/* Real functions from the four operations and the square root alone. Their order of evaluation is written
 * out: changing it changes models. */
#include "math/real.h"

#include <math.h>
#include <string.h>

double real_power(double base, uint64_t exponent)
{
    double result = 1.0;

    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result *= base;
        base *= base;
    }
    return result;
}

/* x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)). */
static double split_exponent(double x, int *exponent)
{
    const double root_2 = 0x1.6a09e667f3bcdp+0;
    uint64_t bits;
    double mantissa;

    memcpy(&bits, &x, sizeof(bits));
    *exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&mantissa, &bits, sizeof(mantissa));
    if (mantissa >= root_2) {
        mantissa *= 0.5;
        *exponent += 1;
    }
    return mantissa;
}

/* With f = mantissa - 1 and s = f / (2 + f): log(1 + f) = 2 atanh(s) = 2s + s R, R = 2 (s^2/3 + s^4/5 + ...),
 * and 2s = f - f^2/2 + s f^2/2, of which the first terms are exact or small. |s| < 0.172, so the twelfth term
 * of R is below 1e-18. ln 2 is taken in two parts, the first short enough that exponent * part is exact. */
double real_log(double x)
{
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    int exponent;
    double f = split_exponent(x, &exponent) - 1.0;
    double s = f / (2.0 + f), square = s * s, half = 0.5 * f * f, series = 0.0;

    for (int term = 11; term >= 1; term--)
        series = square * (2.0 / (2 * term + 1) + series);
    return exponent * ln2_high - ((half - (s * (half + series) + exponent * ln2_low)) - f);
}

/* ---- sums of two doubles that stand for one number of twice the digits */

struct pair {
    double high, low;
};

/* a + b exactly. Source: D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2. */
static struct pair exact_sum(double a, double b)
{
    double sum = a + b, b_part = sum - a, a_part = sum - b_part;

    return (struct pair){sum, (a - a_part) + (b - b_part)};
}

/* The upper half of a's digits, so that products of two halves are exact; |a| < 2^996. */
static double upper_half(double a)
{
    double scaled = a * 0x1.0000002p+27;

    return scaled - (scaled - a);
}

/* a * b exactly. Source: T. J. Dekker, "A floating-point technique for extending the available precision",
 * 1971. */
static struct pair exact_product(double a, double b)
{
    double product = a * b, a1 = upper_half(a), b1 = upper_half(b), a2 = a - a1, b2 = b - b1;

    return (struct pair){product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2};
}

/* As real_log, with some 60 bits: its leading term 2s is carried in two parts. */
static struct pair log_pair(double x)
{
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    int exponent;
    double f = split_exponent(x, &exponent) - 1.0;
    struct pair below = exact_sum(2.0, f), back, leading;
    double s = f / below.high, square = s * s, series = 0.0, s_low;

    back = exact_product(s, below.high);
    s_low = ((f - back.high) - back.low - s * below.low) / below.high;
    for (int term = 11; term >= 1; term--)
        series = square * (2.0 / (2 * term + 1) + series);
    leading = exact_sum(exponent * ln2_high, 2.0 * s);
    leading.low += exponent * ln2_low + (2.0 * s_low + s * series);
    return exact_sum(leading.high, leading.low);
}

/* value * 2^exponent, in steps that stay within the range of factors. */
static double scale_by_power(double value, int exponent)
{
    while (exponent > 1000) {
        value *= 0x1p1000;
        exponent -= 1000;
    }
    while (exponent < -1000) {
        value *= 0x1p-1000;
        exponent += 1000;
    }
    for (double factor = exponent < 0 ? 0.5 : 2.0; exponent != 0; exponent /= 2, factor *= factor) {
        if (exponent % 2 != 0)
            value *= factor;
    }
    return value;
}

/* exp of a pair: 2^whole times exp(r), |r| < 0.35, whose thirteen terms end below 1e-18. */
static double exp_pair(struct pair x)
{
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    const double per_ln2 = 0x1.71547652b82fep+0;
    double whole, r, low, series = 0.0;

    if (x.high != x.high)
        return x.high;
    if (x.high > 710.0)
        return HUGE_VAL;
    if (x.high < -750.0)
        return 0.0;
    whole = floor(x.high * per_ln2 + 0.5);
    r = x.high - whole * ln2_high;
    low = x.low - whole * ln2_low;
    r += low;
    low -= r - (x.high - whole * ln2_high);
    for (int term = 14; term >= 3; term--)
        series = r * (1.0 + series) / term;
    return scale_by_power(1.0 + (r + (0.5 * r * r * (1.0 + series) + low)), (int)whole);
}

double real_exp(double x)
{
    return exp_pair((struct pair){x, 0.0});
}

double real_raise(double x, double y)
{
    struct pair logarithm, product;

    if (y == 0.0)
        return 1.0;
    if (x == 0.0)
        return y > 0.0 ? 0.0 : HUGE_VAL;
    logarithm = log_pair(x);
    product = exact_product(y, logarithm.high);
    product.low += y * logarithm.low;
    return exp_pair(product);
}

/* The sine and cosine of pi x, |x| <= 1/4, by their series. */
static double sine_pi_near(double x)
{
    const double pi = 0x1.921fb54442d18p+1, pi_low = 0x1.1a62633145c07p-53;
    struct pair angle = exact_product(x, pi);
    double square = angle.high * angle.high, series = 0.0;

    for (int term = 19; term >= 3; term -= 2)
        series = -square * (1.0 + series) / (term * (term - 1));
    return angle.high + (angle.high * series + (angle.low + x * pi_low));
}

static double cosine_pi_near(double x)
{
    const double pi = 0x1.921fb54442d18p+1, pi_low = 0x1.1a62633145c07p-53;
    struct pair angle = exact_product(x, pi);
    double square = angle.high * angle.high, series = 0.0;

    for (int term = 18; term >= 2; term -= 2)
        series = -square * (1.0 + series) / (term * (term - 1));
    return 1.0 + (series - angle.high * (angle.low + x * pi_low));
}

double real_cosine_pi(double x)
{
    double turn = fabs(x) - 2.0 * floor(fabs(x) / 2.0); /* in [0, 2), exactly */
    double sign = 1.0;

    if (turn > 1.0)
        turn = 2.0 - turn;
    if (turn > 0.5) {
        turn = 1.0 - turn;
        sign = -1.0;
    }
    return sign * (turn <= 0.25 ? cosine_pi_near(turn) : sine_pi_near(0.5 - turn));
}

/* c[0] + c[1] x + ... + c[7] x^7 by Horner's rule. */
static double polynomial(const double c[8], double x)
{
    double sum = c[7];

    for (int i = 6; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

static double quantile_centre(double q)
{
    static const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[8] = {1.0,
                                4.2313330701600911252e1,
                                6.8718700749205790830e2,
                                5.3941960214247511077e3,
                                2.1213794301586595867e4,
                                3.9307895800092710610e4,
                                2.8729085735721942674e4,
                                5.2264952788528545610e3};
    double r = 0.180625 - q * q;

    return q * polynomial(a, r) / polynomial(b, r);
}

static double quantile_tail(double r)
{
    static const double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9};

    return polynomial(c, r - 1.6) / polynomial(d, r - 1.6);
}

static double quantile_far_tail(double r)
{
    static const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};

    return polynomial(e, r - 5.0) / polynomial(f, r - 5.0);
}

double real_normal_quantile(double p)
{
    double q = p - 0.5, r, magnitude;

    if (fabs(q) <= 0.425)
        return quantile_centre(q);
    r = sqrt(-real_log(q < 0 ? p : 1.0 - p));
    magnitude = r <= 5.0 ? quantile_tail(r) : quantile_far_tail(r);
    return q < 0 ? -magnitude : magnitude;
}
