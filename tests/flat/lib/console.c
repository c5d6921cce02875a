/* SPDX-License-Identifier: MIT */
/* Serial console, verdicts, and the end of the machine. One VP at a time. */
#include <stdarg.h>

#include "flat.h"

#define COM1      0x3F8
#define LSR_THRE  0x20
#define EXIT_PORT 0xF4

static unsigned failures;

static void put(char c)
{
	if (c == '\n')
		put('\r');
	while (!(inb(COM1 + 5) & LSR_THRE))
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

static void puts_(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(uint64_t value, unsigned base)
{
	char digits[21];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(digits[--n]);
}

static void vprint(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool wide = false;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		if (*++fmt == 'l') {
			wide = true;
			fmt++;
		}
		if (*fmt == 's')
			puts_(va_arg(ap, const char *));
		else if (*fmt == '%')
			put('%');
		else
			put_number(wide ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t),
				*fmt == 'x' ? 16 : 10);
	}
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}

static void verdict(bool pass, const char *fmt, va_list ap)
{
	if (!pass)
		failures++;
	puts_(pass ? "PASS: " : "FAIL: ");
	vprint(fmt, ap);
}

bool report(bool pass, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verdict(pass, fmt, ap);
	va_end(ap);
	put('\n');
	return pass;
}

bool report_eq(uint64_t got, uint64_t want, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verdict(got == want, fmt, ap);
	va_end(ap);
	if (got != want)
		print(" (got 0x%lx, want 0x%lx)", got, want);
	put('\n');
	return got == want;
}

void report_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	puts_("SKIP: ");
	vprint(fmt, ap);
	va_end(ap);
	put('\n');
}

void halt_forever(void)
{
	irq_disable();
	for (;;)
		__asm__ volatile("hlt");
}

void flat_exit(enum exit_code code)
{
	if (code == EXIT_PASS && failures)
		code = EXIT_FAIL;
	outl(EXIT_PORT, code);
	halt_forever();
}
