/* SPDX-License-Identifier: MIT */
/* Commands on the display and the keyboard. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/blocking.h"
#include "vm/commands.h"
#include "vm/vm_impl.h"

const char *const screenshot_formats[] = {"png", "ppm", NULL};

/* ---- screenshot ---------------------------------------------------------- */

/* A picture, on its way into a text. It needs nothing of the VM, which may end meanwhile. */
struct screenshot {
	struct blocking_call call;
	struct ctl_request *request;
	struct picture picture;
	bool ppm;
	char *text; /* base64 */
	int error;
};

static void encode(struct blocking_call *call)
{
	struct screenshot *s = container_of(call, struct screenshot, call);
	uint8_t *bytes = NULL;
	size_t size = 0;

	s->error = s->ppm ? picture_ppm(&s->picture, &bytes, &size)
			  : picture_png(&s->picture, &bytes, &size);
	s->text = s->error ? NULL : base64_encode(bytes, size);
	free(bytes);
}

static void encoded(struct blocking_call *call)
{
	struct screenshot *s = container_of(call, struct screenshot, call);
	struct err e;

	if (s->text) {
		ctl_answer(
			s->request, json_pack("{s:i, s:i, s:s, s:s}", "width",
					    (int)s->picture.width, "height", (int)s->picture.height,
					    "format", s->ppm ? "ppm" : "png", "data", s->text));
	} else {
		err_set(&e, -ENOMEM, "screenshot: out of memory");
		ctl_refuse(s->request, &e);
	}
	picture_free(&s->picture);
	free(s->text);
	free(s);
}

static int copy_picture(struct vm *vm, struct screenshot *s, bool last, struct err *e)
{
	int ret = screen_check(&vm->screen, e);

	if (ret)
		return ret;
	ret = display_copy(&vm->screen.display, last, &s->picture);
	if (ret == -ENODATA)
		err_set(e, ret,
			last ? "screenshot: no guest of this VM has crashed or ended yet"
			     : "screenshot: the guest has not drawn a picture yet");
	else if (ret)
		err_set(e, ret, "screenshot: %s", strerror(-ret));
	return ret;
}

int command_screenshot(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct screenshot *s = calloc(1, sizeof(*s));
	const char *format = "png";
	int last = 0, ret;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	json_unpack((json_t *)json, "{s?s, s?b}", "format", &format, "last", &last);
	s->ppm = !strcmp(format, "ppm");
	s->request = request;
	s->call = (struct blocking_call){.run = encode, .done = encoded};
	ret = copy_picture(vm, s, last, e);
	if (!ret) {
		ret = blocking_start(&s->call, &vm->control);
		if (!ret)
			return 0;
		err_set(e, ret, "screenshot: no thread can be created");
		picture_free(&s->picture);
	}
	free(s);
	return ret;
}

/* ---- keys ---------------------------------------------------------------- */

static void typed(void *ctx, int error)
{
	struct ctl_request *request = ctx;
	struct err e;

	if (!error) {
		ctl_answer(request, json_object());
		return;
	}
	err_set(&e, error, "type: the guest's keyboard driver ended before all was typed");
	ctl_refuse(request, &e);
}

int command_type(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	return screen_type(
		&vm->screen, json_string_value(json_object_get(json, "text")), typed, request, e);
}

int command_key(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	uint32_t keys[KEYS_AT_ONCE_MAX];
	int count = keys_parse(json_string_value(json_object_get(json, "keys")), keys, e);
	int ret = count < 0 ? count : screen_press(&vm->screen, keys, (uint32_t)count, e);

	if (!ret)
		ctl_answer(request, json_object());
	return ret;
}
