/* SPDX-License-Identifier: MIT */
#include "vm/memory.h"

#include <errno.h>
#include <stdlib.h>

#include "base/blocking.h"
#include "vm/vm_impl.h"

/* With a copy of what gmem_measure() needs: a guest reset may free the memory meanwhile. */
struct measurement {
	struct blocking_call call;
	struct gmem gmem;
	struct gmem_use use;
	/* control thread */
	struct list link; /* vm.measurements */
	void (*done)(void *ctx, const struct gmem_use *use);
	void *ctx;
};

static struct measurement *measurement_of(struct blocking_call *call)
{
	return container_of(call, struct measurement, call);
}

static void run(struct blocking_call *call)
{
	struct measurement *m = measurement_of(call);

	gmem_measure(&m->gmem, &m->use); /* where /proc is missing, all is 0 */
}

static void release(struct blocking_call *call)
{
	free(measurement_of(call));
}

static void measured(struct blocking_call *call)
{
	struct measurement *m = measurement_of(call);

	list_del(&m->link);
	if (m->done)
		m->done(m->ctx, &m->use);
	free(m);
}

int memory_measure(struct vm *vm, void (*done)(void *ctx, const struct gmem_use *use), void *ctx)
{
	const struct gmem_use none = {0};
	struct measurement *m;
	int ret;

	ON_CONTROL(vm);
	if (!vm->partition) {
		done(ctx, &none);
		return 0;
	}
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct measurement){
		.call = {.run = run, .done = measured, .release = release},
		.gmem = gmem_addresses(partition_gmem(vm->partition)),
		.done = done,
		.ctx = ctx,
	};
	ret = blocking_start(&m->call, &vm->control);
	if (ret)
		free(m);
	else
		list_add_tail(&vm->measurements, &m->link);
	return ret;
}

void memory_close(struct vm *vm)
{
	while (!list_empty(&vm->measurements)) {
		struct measurement *m =
			container_of(vm->measurements.next, struct measurement, link);

		list_del(&m->link);
		m->done(m->ctx, NULL);
		m->done = NULL;
		blocking_abandon(&m->call); /* posted already: measured() frees it, if the loop runs
					     * once more, as some units' close lets it */
	}
}
