# SPDX-License-Identifier: Apache-2.0
#
#   make                 module, daemon and tools
#   make modules KDIR=/lib/modules/$(uname -r)/build
#   make install         PREFIX, DESTDIR and INSTALL_MOD_PATH are honoured
#   make check | demo    every test | the tour, both in an emulated machine

PREFIX		?= /usr/local
BINDIR		?= $(PREFIX)/bin
SBINDIR		?= $(PREFIX)/sbin
# mount(8) looks for helpers here and nowhere else
MOUNTDIR	?= /sbin
MANDIR		?= $(PREFIX)/share/man
COMPLETIONDIR	?= $(PREFIX)/share/bash-completion/completions
UNITDIR		?= /lib/systemd/system
INSTALL_MOD_PATH ?= $(DESTDIR)
INSTALL		?= install

# Without the running kernel's headers the module is for the emulated machine,
# which nobody wants to install.
RUNNING		:= $(shell uname -r)
OWN_KDIR	:= $(wildcard /lib/modules/$(RUNNING)/build)
KDIR		?= $(or $(OWN_KDIR),$(shell tools/lib/kdir))
ifeq ($(OWN_KDIR)-$(origin KDIR),-file)
ifneq ($(filter install install-modules,$(MAKECMDGOALS)),)
$(error no headers of the running kernel $(RUNNING) to build the module with: \
	apt-get install linux-headers-$(RUNNING), or name those of another \
	kernel by KDIR=FOLDER)
endif
endif
KMOD		:= $(CURDIR)/kmod

# `make -j' is left to the person; sub-makes share its jobs
.PHONY: all user modules orchd tools selftests unit kunit check check-long demo lint
.PHONY: clean install install-modules install-user uninstall

all: modules user

user: orchd tools selftests

modules:
	$(MAKE) -C $(KDIR) M=$(KMOD) modules

orchd:
	$(MAKE) -C orchd

tools:
	$(MAKE) -C tools

selftests: orchd
	$(MAKE) -C selftests/src
	$(MAKE) -C orchd bench

unit: user
	$(MAKE) -C orchd test
	$(MAKE) -C tools test

kunit:
	selftests/kunit/run

check:
	tools/check

check-long:
	tools/check --long

demo:
	tools/demo

lint:
	tools/lint

install: install-user install-modules

install-modules: modules
	$(MAKE) -C $(KDIR) M=$(KMOD) \
		INSTALL_MOD_PATH=$(INSTALL_MOD_PATH) modules_install
ifeq ($(INSTALL_MOD_PATH),)
	depmod -a $$(cat $(KDIR)/include/config/kernel.release)
endif

install-user: user
	$(INSTALL) -D -m 755 orchd/orchd $(DESTDIR)$(SBINDIR)/orchd
	$(INSTALL) -D -m 755 tools/orchctl/orchctl $(DESTDIR)$(SBINDIR)/orchctl
	$(INSTALL) -D -m 755 tools/mount.orchfs $(DESTDIR)$(MOUNTDIR)/mount.orchfs
	$(INSTALL) -d $(DESTDIR)$(UNITDIR)
	sed 's|/usr/sbin/|$(SBINDIR)/|g' orchd/orchd.service \
		>$(DESTDIR)$(UNITDIR)/orchd.service
	$(INSTALL) -D -m 644 tools/completion/orchctl \
		$(DESTDIR)$(COMPLETIONDIR)/orchctl
	for page in $(wildcard Documentation/man/*.8); do \
		$(INSTALL) -D -m 644 $$page \
			$(DESTDIR)$(MANDIR)/man8/$$(basename $$page) || exit 1; \
	done

uninstall:
	$(RM) $(DESTDIR)$(SBINDIR)/orchd $(DESTDIR)$(SBINDIR)/orchctl
	$(RM) $(DESTDIR)$(MOUNTDIR)/mount.orchfs
	$(RM) $(DESTDIR)$(UNITDIR)/orchd.service
	$(RM) $(DESTDIR)$(COMPLETIONDIR)/orchctl
	$(RM) $(patsubst Documentation/man/%,$(DESTDIR)$(MANDIR)/man8/%,\
		$(wildcard Documentation/man/*.8))
	[ ! -d $(INSTALL_MOD_PATH)/lib/modules ] || \
		find $(INSTALL_MOD_PATH)/lib/modules -path '*/updates/*' \
			-name 'orchfs.ko*' -delete
ifeq ($(INSTALL_MOD_PATH),)
	depmod -a
endif

clean:
	$(MAKE) -C orchd clean
	$(MAKE) -C tools clean
	$(MAKE) -C selftests/src clean
ifneq ($(OWN_KDIR)-$(origin KDIR),-file)
	$(MAKE) -C $(KDIR) M=$(KMOD) clean
else
	@: nothing is fetched only to clean
	cd $(KMOD) && git clean -q -f -d -X .
endif
