/* SPDX-License-Identifier: MIT */
/*
 * The clock chip (MC146818) behind ports 0x70 and 0x71: time of day in UTC,
 * BCD, 24 hours, always valid, never "update in progress": a stuck UIP would cost
 * a guest seconds. The time is the host's: the guest cannot set it. There are no
 * alarms. The other registers are RAM.
 */
#include <string.h>
#include <time.h>

#include "hyper/dev/dev.h"

enum {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WEEKDAY = 0x06,
	RTC_MONTHDAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0A,
	RTC_B = 0x0B,
	RTC_C = 0x0C,
	RTC_D = 0x0D,
};

#define RTC_INDEX_MASK 0x7Fu /* bit 7 of the index port masks NMIs */
#define RTC_A_UIP      0x80u
#define RTC_A_DEFAULT  0x26u /* 32768 Hz crystal, 1024 Hz rate */
#define RTC_B_24H      0x02u
#define RTC_B_BINARY   0x04u
#define RTC_D_VALID    0x80u

static uint8_t bcd(int value)
{
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

/* The registers of the time of day; false for all others. */
static bool read_clock(uint8_t index, uint8_t *value)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case RTC_SECONDS:
		*value = bcd(tm.tm_sec);
		return true;
	case RTC_MINUTES:
		*value = bcd(tm.tm_min);
		return true;
	case RTC_HOURS:
		*value = bcd(tm.tm_hour);
		return true;
	case RTC_WEEKDAY:
		*value = bcd(tm.tm_wday + 1);
		return true;
	case RTC_MONTHDAY:
		*value = bcd(tm.tm_mday);
		return true;
	case RTC_MONTH:
		*value = bcd(tm.tm_mon + 1);
		return true;
	case RTC_YEAR:
		*value = bcd(tm.tm_year % 100);
		return true;
	case RTC_CENTURY:
		*value = bcd((tm.tm_year + 1900) / 100);
		return true;
	default:
		return false;
	}
}

static uint8_t read_register(const struct rtc *r)
{
	uint8_t value;

	if (read_clock(r->index, &value))
		return value;
	switch (r->index) {
	case RTC_A:
		return r->ram[RTC_A] & ~RTC_A_UIP;
	case RTC_B: /* the format is fixed */
		return (r->ram[RTC_B] | RTC_B_24H) & ~RTC_B_BINARY;
	case RTC_C: /* no interrupt is pending */
		return 0;
	case RTC_D:
		return RTC_D_VALID;
	default:
		return r->ram[r->index];
	}
}

static uint32_t rtc_read(void *ctx, uint16_t port, unsigned size)
{
	struct rtc *r = ctx;
	uint8_t value;

	if (size != 1 || port == RTC_PORT) /* the index is write-only */
		return PIO_NOBODY;
	pthread_mutex_lock(&r->lock);
	value = read_register(r);
	pthread_mutex_unlock(&r->lock);
	return value;
}

static void rtc_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct rtc *r = ctx;

	if (size != 1)
		return;
	pthread_mutex_lock(&r->lock);
	if (port == RTC_PORT)
		r->index = value & RTC_INDEX_MASK;
	else
		r->ram[r->index] = (uint8_t)value;
	pthread_mutex_unlock(&r->lock);
}

static const struct pio_ops rtc_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

int rtc_init(struct rtc *r, struct pio *pio)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->ram[RTC_A] = RTC_A_DEFAULT;
	return pio_add(pio, RTC_PORT, 2, &rtc_ops, r);
}

void rtc_archive(struct rtc *r, struct archive *a)
{
	pthread_mutex_lock(&r->lock);
	archive_begin(a, "rtc", 1);
	archive_u8(a, "index", &r->index);
	archive_bytes(a, "ram", r->ram, sizeof(r->ram));
	archive_end(a);
	r->index &= RTC_INDEX_MASK;
	pthread_mutex_unlock(&r->lock);
}
