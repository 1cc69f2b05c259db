/**
 * The command that finds a Node, and the scripts that dpkg runs. An install enables and starts
 * nothing: without trust and credentials a broker or an agent would only fail. An upgrade restarts
 * the units that run. A purge of the broker removes its data; the releases of robots are never
 * touched.
 */

/** `/usr/bin/<name>`: Node of drover-node, or the system's when it is new enough. */
export function launcher(name: string, program: string): string {
  return `#!/bin/sh
node=/usr/lib/drover/node
if [ ! -x "$node" ]; then
  node=$(command -v node || true)
  fits='const [a,b]=process.versions.node.split(".").map(Number);process.exitCode=a>20||a==20&&b>=19?0:1'
  if [ -z "$node" ] || ! "$node" -e "$fits"; then
    echo "${name}: error: needs Node.js 20.19 or later (got \${node:+$("$node" --version)})" >&2
    echo "${name}: hint: install the package drover-node, which brings one of its own" >&2
    exit 2
  fi
fi
DROVER_NODE=$node
export DROVER_NODE
exec ${program} "$@"
`;
}

const HEAD = '#!/bin/sh\nset -e\n';
const IF_SYSTEMD = 'if [ -d /run/systemd/system ]; then';

/** @param user system user that the units run as; null: root */
export function maintainerScripts(options: {
  readonly units: readonly string[];
  readonly user: string | null;
  readonly data: readonly string[];
}): Record<string, string> {
  const { user, data } = options;
  const units = options.units.join(' ');
  const makeUser =
    user === null
      ? ''
      : `  if ! getent passwd ${user} >/dev/null; then
    useradd --system --user-group --home-dir /nonexistent --no-create-home \\
      --shell /usr/sbin/nologin ${user}
  fi
${data.map((folder) => `  install -d -o ${user} -g ${user} -m 0750 ${folder}\n`).join('')}`;
  const postinst = `${HEAD}if [ "$1" = configure ]; then
  install -d -m 0755 /etc/drover
${makeUser}  ${IF_SYSTEMD}
    systemctl daemon-reload || true
    # What runs goes on with the new version; nothing is started that did not run.
    systemctl try-restart ${units} || true
  fi
fi
`;
  const prerm = `${HEAD}if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now ${units} || true
fi
`;
  const remove = data.length === 0 ? '' : `  rm -rf ${data.join(' ')}\n`;
  const postrm = `${HEAD}${IF_SYSTEMD} systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
${remove}  rmdir --ignore-fail-on-non-empty /etc/drover 2>/dev/null || true
fi
`;
  return { postinst, prerm, postrm };
}
