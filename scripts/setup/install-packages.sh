#!/bin/sh
# Installs Debian packages, as root, and nothing but their files: no daemon is started now or at the next boot, no database
# cluster is created. Dormouse starts private services of its own and must not take a port of somebody else's.
# Usage: install-packages.sh PACKAGE...
set -eu

# Maintainer scripts ask this program before they start a service; 101 forbids it (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
# The first installation of a Postgres server creates the cluster "main" on port 5432, unless this says otherwise
# (pg_createcluster(8)). A file of its own in the directory that createcluster.conf includes: nobody's settings are edited.
cluster_directory=/etc/postgresql-common/createcluster.d
cluster_policy=$cluster_directory/zz-dormouse-set-up.conf
mark='made by the set-up of Dormouse for the time of one installation'

is_ours() { [ -f "$1" ] && grep -qs "$mark" "$1"; }

clean_up() {
  if is_ours "$policy"; then rm -f "$policy"; fi
  if is_ours "$cluster_policy"; then
    rm -f "$cluster_policy"
    rmdir --ignore-fail-on-non-empty "$cluster_directory"
  fi
}

# Another clone may be installing too: the first to end would take away the policy that the other relies on.
# The lock is on the directory itself, so that none is left behind.
exec 9</usr/sbin
flock 9

# The shell waits for apt before it heeds a signal, so the policies outlive whatever apt still does. Those of a set-up
# that was killed outright are recognised by their mark and go too.
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ ! -e "$policy" ] || is_ours "$policy"; then
  printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
  chmod 755 "$policy"
fi
mkdir -p "$cluster_directory"
printf '# %s\ncreate_main_cluster = false\n' "$mark" >"$cluster_policy"

had_redis_service=no
if [ -e /lib/systemd/system/redis-server.service ] || [ -e /etc/init.d/redis-server ]; then had_redis_service=yes; fi

export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" 9<&-
}

# Fetching the package lists takes longer than installing: only when the ones there are missing or out of date.
install "$@" || { apt-get update -qq -o DPkg::Lock::Timeout=600 9<&- && install "$@"; }

# The policy keeps Redis from being started now; this keeps it from being started at the next boot.
if [ $had_redis_service = no ] && [ -e /etc/init.d/redis-server ]; then
  if command -v systemctl >/dev/null; then systemctl --quiet disable redis-server; else update-rc.d redis-server disable; fi
fi
