/* SPDX-License-Identifier: MIT */
/*
 * 16550A UART. The transmitter is instantaneous: THR is always empty, so the
 * THRE interrupt is pending from the moment it becomes enabled, and again after
 * every byte, until IIR reports it.
 *
 * The interrupt line is the OR of the enabled sources, gated by MCR.OUT2 as on
 * every PC. dev_irq is called only when the level changes, since each call is a
 * system call.
 */
#include <string.h>

#include "hyper/dev/dev.h"

/* Registers, offsets from SERIAL_PORT. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REG_COUNT };

#define IER_RX_DATA  0x01u
#define IER_THRE     0x02u
#define IER_MASK     0x0Fu
#define IIR_NONE     0x01u
#define IIR_THRE     0x02u
#define IIR_RX_DATA  0x04u
#define IIR_FIFO     0xC0u
#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_TRIGGER  0xC0u
#define LCR_DLAB     0x80u
#define MCR_DTR      0x01u
#define MCR_RTS      0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOP     0x10u
#define MCR_MASK     0x1Fu
#define LSR_DATA     0x01u
#define LSR_THRE     0x20u
#define LSR_TEMT     0x40u
#define MSR_CTS      0x10u
#define MSR_DSR      0x20u
#define MSR_RI       0x40u
#define MSR_DCD      0x80u

#define DIVISOR_115200 1u

/* The interrupt IIR would report now, without its FIFO bits. Received data outranks THRE. */
static uint8_t interrupt_id(const struct serial *s)
{
	if ((s->ier & IER_RX_DATA) && s->rx_count)
		return IIR_RX_DATA;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	return IIR_NONE;
}

static void update_line(struct serial *s)
{
	bool level = (s->mcr & MCR_OUT2) && interrupt_id(s) != IIR_NONE;

	if (level == s->line)
		return;
	s->line = level;
	s->irq.set(s->irq.ctx, level);
}

static bool rx_push(struct serial *s, uint8_t byte)
{
	if (s->rx_count == SERIAL_RX_FIFO)
		return false;
	s->rx[(s->rx_head + s->rx_count++) % SERIAL_RX_FIFO] = byte;
	return true;
}

static uint8_t rx_pop(struct serial *s)
{
	uint8_t byte;

	if (!s->rx_count)
		return 0;
	byte = s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % SERIAL_RX_FIFO;
	s->rx_count--;
	return byte;
}

/* Modem inputs: all asserted, or our own outputs in loopback. They do not change from outside, so
 * the delta bits stay clear. */
static uint8_t modem_status(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	msr |= s->mcr & MCR_RTS ? MSR_CTS : 0;
	msr |= s->mcr & MCR_DTR ? MSR_DSR : 0;
	msr |= s->mcr & MCR_OUT1 ? MSR_RI : 0;
	msr |= s->mcr & MCR_OUT2 ? MSR_DCD : 0;
	return msr;
}

/* Reading IIR acknowledges THRE, only if it reports THRE. */
static uint8_t read_iir(struct serial *s)
{
	uint8_t id = interrupt_id(s);

	if (id == IIR_THRE)
		s->thre_pending = false;
	return id | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? s->divisor & 0xFF : rx_pop(s);
	case REG_IER:
		return dlab ? s->divisor >> 8 : s->ier;
	case REG_IIR_FCR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_THRE | LSR_TEMT | (s->rx_count ? LSR_DATA : 0);
	case REG_MSR:
		return modem_status(s);
	default:
		return s->scr;
	}
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP)
		rx_push(s, byte);
	else
		s->output(s->ctx, byte);
	s->thre_pending = true;
}

/* Enabling THRE while THR is empty interrupts at once: Linux tests for it. */
static void write_ier(struct serial *s, uint8_t value)
{
	if ((value & IER_THRE) && !(s->ier & IER_THRE))
		s->thre_pending = true;
	s->ier = value & IER_MASK;
}

/* The other bits are valid only with ENABLE; switching the FIFOs on or off empties them. */
static void write_fcr(struct serial *s, uint8_t value)
{
	bool toggled = (value ^ s->fcr) & FCR_ENABLE;

	if (toggled || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
		s->rx_count = 0;
	s->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
}

static void write_register(struct serial *s, unsigned reg, uint8_t value)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->divisor = (uint16_t)((s->divisor & 0xFF00) | value);
		else
			transmit(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->divisor = (uint16_t)(value << 8 | (s->divisor & 0xFF));
		else
			write_ier(s, value);
		break;
	case REG_IIR_FCR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & MCR_MASK;
		break;
	case REG_SCR:
		s->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static uint32_t serial_read(void *ctx, uint16_t port, unsigned size)
{
	struct serial *s = ctx;
	uint8_t value;

	if (size != 1)
		return PIO_NOBODY;
	pthread_mutex_lock(&s->lock);
	value = read_register(s, port - SERIAL_PORT);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct serial *s = ctx;

	if (size != 1)
		return;
	pthread_mutex_lock(&s->lock);
	write_register(s, port - SERIAL_PORT, (uint8_t)value);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct pio_ops serial_ops = {
	.read = serial_read,
	.write = serial_write,
};

int serial_init(struct serial *s, struct pio *pio, struct dev_irq irq,
	void (*output)(void *ctx, uint8_t byte), void *ctx)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->irq = irq;
	s->output = output;
	s->ctx = ctx;
	s->divisor = DIVISOR_115200;
	return pio_add(pio, SERIAL_PORT, REG_COUNT, &serial_ops, s);
}

size_t serial_input(struct serial *s, const uint8_t *bytes, size_t count)
{
	size_t done = 0;

	pthread_mutex_lock(&s->lock);
	while (done < count && rx_push(s, bytes[done]))
		done++;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return done;
}

/* ---- inspect ------------------------------------------------------------- */

void serial_inspect(struct serial *s, struct inspect *i)
{
	pthread_mutex_lock(&s->lock);
	inspect_u64(i, "input_waiting", s->rx_count);
	inspect_u64(i, "enabled_interrupts", s->ier);
	inspect_bool(i, "interrupt", s->line);
	pthread_mutex_unlock(&s->lock);
}

/* ---- saving -------------------------------------------------------------- */

static void rx_archive(struct serial *s, struct archive *a)
{
	archive_u32(a, "rx_head", &s->rx_head);
	archive_u32(a, "rx_count", &s->rx_count);
	archive_bytes(a, "rx", s->rx, sizeof(s->rx));
	if (s->rx_head < SERIAL_RX_FIFO && s->rx_count <= SERIAL_RX_FIFO)
		return;
	archive_fail(a, "received bytes outside of the FIFO");
	s->rx_head = s->rx_count = 0;
}

void serial_archive(struct serial *s, struct archive *a)
{
	pthread_mutex_lock(&s->lock);
	archive_begin(a, "serial", 1);
	archive_u8(a, "ier", &s->ier);
	archive_u8(a, "lcr", &s->lcr);
	archive_u8(a, "mcr", &s->mcr);
	archive_u8(a, "scr", &s->scr);
	archive_u8(a, "fcr", &s->fcr);
	archive_u16(a, "divisor", &s->divisor);
	archive_bool(a, "thre_pending", &s->thre_pending);
	rx_archive(s, a);
	archive_end(a);
	if (a->reading)
		update_line(s);
	pthread_mutex_unlock(&s->lock);
}
