/**
 * The dashboard: one page, without a build step and without anything from another host. Texts of
 * robots are set as text, never as markup, and the content policy allows only the script and style
 * below, by their hashes.
 */

import { createHash } from 'node:crypto';
import { DASHBOARD_SCRIPT } from './script.ts';
import { DASHBOARD_STYLE } from './style.ts';

function policyHash(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** A bar's width is set from script through the CSSOM, which `style-src` hashes do not forbid. */
export const DASHBOARD_CSP = [
  "default-src 'none'",
  `style-src ${policyHash(DASHBOARD_STYLE)}`,
  `script-src ${policyHash(DASHBOARD_SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const DASHBOARD_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drover</title>
<style>${DASHBOARD_STYLE}</style>
</head>
<body>
<header>
<h1>Drover</h1>
<span id="link" role="status">asking the broker</span>
</header>
<form id="login" hidden>
<input id="token" type="password" placeholder="token of a technician" autocomplete="off"
 aria-label="token">
<button>Show the fleet</button>
</form>
<main id="fleet" hidden>
<section aria-label="versions">
<div id="share"></div>
<div id="counts"></div>
</section>
<section id="rollouts" aria-label="rollouts"></section>
<input id="find" type="search" placeholder="find robots by id, version, phase, tag or error"
 aria-label="find robots">
<table>
<thead><tr><th>robot</th><th>version</th><th>phase</th><th>last problem</th></tr></thead>
<tbody id="robots"></tbody>
</table>
<p id="note" class="soft"></p>
</main>
<script>${DASHBOARD_SCRIPT}</script>
</body>
</html>
`;
