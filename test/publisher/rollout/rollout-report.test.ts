/** The report about a rollout, as lines: the same on a terminal and in a pipe. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import {
  parseHistory,
  parseRollout,
  parseRollouts,
  type RolloutAnswer,
} from '../../../publisher/rollout/rollout-answer.ts';
import {
  changeLine,
  endOf,
  fitted,
  historyLines,
  listLines,
  statusLines,
} from '../../../publisher/rollout/rollout-report.ts';
import { answeredDetails } from '../../../publisher/rollout/robot-answer.ts';
import { waitsFor } from '../../../shared/rules/rollout-words.ts';
import { stepLines } from '../../../publisher/rollout/plan-report.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const NOW = Date.parse('2026-11-23T18:00:00Z');
const AT = '2026-11-23T18:00:00Z';
const APP = { name: 'app', version: '1.0.0', phase: 'idle' };
const EVIDENCE = [
  { metric: 'apply', against: 'bound', verdict: 'pass', text: '2 of 2 robots run it' },
  { metric: 'crash', against: 'control', verdict: 'hold', text: '3 robot-hours more' },
];
const RUN = {
  status: 'rolling',
  wave: 1,
  stages: 3,
  threshold: 0.1,
  reasons: [],
  wave_opened_at: '2026-11-23T17:40:00.000Z',
  soak_until: '2026-11-23T18:10:00.000Z',
  evidence_until: '2026-11-23T21:40:00.000Z',
  waits_for: 'soak',
  gate: { kind: 'hold', reasons: ['600 s of the soak are left'], evidence: EVIDENCE },
  attempts: { cohort: 2, reachable: 2, installed: 1, failed: 1, vanished: 0, examples: ['r7'] },
  controller: 'controller-a',
  leading: true,
  approved: [0],
};
const ROLLOUT = {
  id: 'app-1',
  component: 'app',
  version: '1.4.2',
  waves: [
    { percent: 10, soak_s: 1800 },
    { percent: 100, soak_s: 0 },
  ],
  canaries: { robots: ['r7', 'r8'], tags: ['lab'] },
  approve_after: [0, 1, 2],
  announced: true,
  emergency: false,
  status: 'rolling',
  wave: 1,
  threshold: 0.1,
  reasons: [],
  robots: { targeted: 20, running: 1, in_progress: 0, failed: 1, waiting: 18 },
  error: null,
  run: RUN,
};

const read = (more: object = {}): RolloutAnswer =>
  parseRollout(utf8(JSON.stringify({ ...ROLLOUT, ...more })));
const withRun = (more: object): RolloutAnswer => read({ run: { ...RUN, ...more } });

test('status says what an external engine holds, and what it has lost', () => {
  const store = { status: 'complete', chunks: 9, present: 9, restored: 0, problem: null };
  const line = (more: object): string | undefined =>
    statusLines(read({ store: { ...store, ...more } }), NOW).find((one) =>
      one.startsWith('chunks'),
    );
  assert.equal(line({}), 'chunks    complete, 9 of 9 on the engine');
  assert.equal(line({ restored: 2 }), 'chunks    complete, 9 of 9 on the engine, 2 put back');
  const problem = { code: 'CHUNKS_LOST', message: 'it has lost 1\u001b[2J' };
  assert.equal(
    line({ status: 'lost', present: 8, problem }),
    'chunks    lost, 8 of 9 on the engine: it has lost 1\\u{1b}[2J (CHUNKS_LOST)',
  );
});

test('status says waves, robots, gate evidence, and what it waits for until when', () => {
  assert.deepEqual(statusLines(read(), NOW), [
    'rollout   app-1: app 1.4.2',
    'status    rolling, wave 1 of 2, open to 10 % of the fleet',
    'waits     for the soak, until 2026-11-23T18:10:00Z (in 10m)',
    'robots    20 targeted: 1 run it, 0 in progress, 1 failed, 18 waiting',
    'this wave 2 robots, 2 reachable: 1 installed, 1 failed (r7), 0 vanished',
    'waves',
    '  0  canaries: 2 robots; all of lab  soak 30m  passed                           approved',
    '  1  10 %                            soak 30m  open since 2026-11-23T17:40:00Z  then a person has to approve',
    '  2  100 %                           soak 0',
    'gate      hold',
    ' wave   time     hold  600 s of the soak are left',
    ' apply  bound    pass  2 of 2 robots run it',
    ' crash  control  hold  3 robot-hours more',
  ]);
});

test('a rollout whose last wave is not everybody says that the others never get it', () => {
  const half = { waves: [{ percent: 50, soak_s: 0 }] };
  const words = /; its last wave is 50 %: the other robots never get it/;
  for (const status of ['rolling', 'complete']) {
    const found = read({ ...half, run: { ...RUN, status, threshold: 0.5 } });
    assert.match(changeLine(found), words);
    assert.match(statusLines(found, NOW)[1] ?? '', words);
  }
  assert.doesNotMatch(changeLine(read({ ...half, emergency: true })), words);
  assert.doesNotMatch(changeLine(read()), /never get it/);
  const planned = (waves: { percent: number }[], emergency = false): string =>
    stepLines({ waves, emergency } as unknown as RolloutFields).join();
  const lacking = planned([{ percent: 10 }, { percent: 50 }]);
  assert.match(lacking, /note: the last wave is 50 percent.*never/);
  assert.equal(planned([{ percent: 50 }], true) + planned([{ percent: 100 }]), '');
});

test('the controller is believed before the progress that robots got', () => {
  const halted = withRun({ status: 'halted', waits_for: null, soak_until: null, reasons: ['bad'] });
  const lines = statusLines(halted, NOW);
  assert.ok(lines.includes('status    halted, wave 1 of 2, open to 10 % of the fleet'));
  assert.deepEqual(lines.slice(-2), ['reasons', '  bad']);
  assert.equal(endOf(halted), 'halted');
  assert.equal(endOf(withRun({ status: 'complete' })), 'complete');
  for (const status of ['rolling', 'paused', 'rolling_back', 'something new']) {
    assert.equal(endOf(withRun({ status })), null, status);
  }
});

test('a rollout without a controller at this broker says so', () => {
  const lines = statusLines(read({ run: null, status: 'announced', wave: null }), NOW);
  assert.ok(lines.includes('status    announced'));
  const unled = /^waits     no controller of this broker leads it yet; .*for a minute/m;
  assert.match(lines.join('\n'), unled);
  const early = read({ run: null, status: 'announced', wave: null, first_wave_in_s: 42 });
  assert.match(
    waitsFor(early, NOW),
    /^for the first wave, in about 42s: its controller leads it and looks at the robots first/,
  );
  assert.match(listLines([early])[1] ?? '', /first wave$/);
  assert.equal(changeLine(early), changeLine({ ...early, first_wave_in_s: 41 }));
  const startAt = '2026-11-23T20:00:00Z';
  const later = { ...early, first_wave_in_s: 7_200, start_at: startAt };
  const named = `for its start at ${startAt}, in 2 hours (--start-at): no robot begins before (START_AWAITED)`;
  assert.equal(waitsFor(later, NOW), named);
  assert.equal(waitsFor(later, Infinity), named.replace(', in 2 hours', ''));
  assert.match(waitsFor(early, Infinity), /^for the first wave: /);
  const unopened = withRun({ status: 'paused', opened: false });
  assert.match(statusLines(unopened, NOW).join('\n'), /^ {2}1 .* not open yet/m);
  const other = statusLines(withRun({ leading: false, waits_for: 'approval' }), NOW);
  assert.match(
    other.join('\n'),
    /for a person: .*\(this controller does not lead it now; after a start or a restore it listens/,
  );
});

test('a soak that is over is no time to wait for', () => {
  const waits = (more: object): string =>
    waitsFor(withRun({ waits_for: 'evidence', ...more }), NOW);
  const told = 'for evidence: the gate cannot tell yet';
  assert.equal(waits({}), `${told}, at most until 2026-11-23T21:40:00Z (in 220m)`);
  assert.equal(waits({ evidence_until: null }), `${told}, until a person decides`);
  const past = '2026-11-23T17:59:59Z';
  const soaked = waitsFor(withRun({ waits_for: 'soak', soak_until: past }), NOW);
  assert.match(soaked, /^for the soak, which has had its time: the controller decides in its next/);
  assert.doesNotMatch(waits({ evidence_until: past }), /until/);
});

test('a rollout that is announced no more waits for nothing but its recall', () => {
  const gone = { announced: false, waves: [], approve_after: [] };
  const lines = statusLines(read(gone), NOW);
  assert.ok(
    lines.includes('status    rolling, wave 1, open to 10 % of the fleet; no longer announced'),
  );
  assert.ok(lines.includes('waits     for nothing'));
  assert.equal(endOf(read(gone)), 'withdrawn');
  const back = read({ ...gone, run: { ...RUN, status: 'rolling_back', waits_for: 'recall' } });
  assert.match(waitsFor(back, NOW), /go back/);
  assert.equal(endOf(back), null);
});

test('a rollout whose place another one took says which, and is over', () => {
  const gone = { announced: false, waves: [], approve_after: [] };
  const run = { ...RUN, status: 'superseded', superseded_by: 'app-2', waits_for: null };
  const shown = read({ ...gone, run });
  const status = 'status    superseded by app-2, wave 1, open to 10 % of the fleet';
  assert.ok(statusLines(shown, NOW).includes(status));
  assert.equal(endOf(shown), 'superseded');
  // The earlier end is not lost.
  const done = read({ ...gone, run: { ...run, status: 'complete' } });
  assert.match(statusLines(done, NOW).join('\n'), /complete, superseded by app-2/);
  assert.equal(endOf(done), 'complete');
});

test('a list has one row for each rollout', () => {
  assert.deepEqual(listLines([]), ['no rollout is announced']);
  assert.deepEqual(listLines([read(), read({ id: 'b', emergency: true, run: null })]), [
    'ROLLOUT  BUNDLE     STATUS   WAVE       OPEN  RUN IT  FAILED  WAITS FOR',
    'app-1    app 1.4.2  rolling  1/2        10 %  1/20    1       soak',
    'b        app 1.4.2  rolling  emergency  10 %  1/20    1       controller',
  ]);
});

test('a list says of robots that neither run it nor failed where they are, so that it adds up', () => {
  const robots = { targeted: 6, running: 2, in_progress: 0, failed: 0, waiting: 0, went_on: 1 };
  const excluded = { REQUIRES_UNMET: 3, ARCH_WRONG: 1 };
  const over = { ...RUN, status: 'complete', waits_for: null };
  const lines = listLines([read({ robots: { ...robots, excluded }, run: over }), read()]);
  assert.deepEqual(lines, [
    'ROLLOUT  BUNDLE     STATUS    WAVE  OPEN  RUN IT  FAILED  OTHERS                       WAITS FOR',
    'app-1    app 1.4.2  complete  1/2   10 %  2/6     0       1 went on, 3 do not take it',
    'app-1    app 1.4.2  rolling   1/2   10 %  1/20    1                                    soak',
  ]);
});

test('one state has one word: in the list, in the status, in watch and about a robot', () => {
  const words = { rolling_back: 'rolling back', no_effect: 'no effect', halted: 'halted' };
  const said = (run: object, running = 1): string[] => {
    const robots = { ...ROLLOUT.robots, running };
    const shown = read({ run: { ...RUN, ...run }, robots });
    const [, row = ''] = listLines([shown]);
    const answer = { ...ROLLOUT, robots, run: { ...RUN, ...run }, target: {} };
    const state = { robot_id: 'r1', at: AT, arch: 'arm', components: [{ ...APP }] };
    const details = answeredDetails(
      utf8(JSON.stringify({ ...state, online: true, last_seen: AT, reported_at: AT })),
      utf8(JSON.stringify({ rollouts: [answer] })),
    );
    const [, status = ''] = statusLines(shown, NOW);
    return [row, status, changeLine(shown), details.rollouts?.[0]?.says ?? ''];
  };
  for (const [status, word] of Object.entries(words)) {
    for (const text of said({ status })) assert.ok(text.includes(word), `${status}: ${text}`);
  }
  const back = [/^(?!.*halted).*rolled back/, /halted, 1 robot still runs it/] as const;
  for (const [running, pattern] of back.entries()) {
    for (const text of said({ status: 'halted', recall: true }, running))
      assert.match(text, pattern);
  }
});

test('in the first minute of its controller, a rollout with one wave for all is open already', () => {
  const all = { waves: [{ percent: 100, soak_s: 0 }], canaries: { robots: [], tags: [] } };
  const more = { ...all, approve_after: [], run: null, led: 'here', first_wave_in_s: 40 };
  const announced = { status: 'announced', wave: null, threshold: null };
  const early = read({ ...more, ...announced });
  const [, status = '', waits = ''] = statusLines(early, NOW);
  assert.match(status, /announced, open to 100 % of the fleet$/);
  assert.match(waits, /for its controller, .*; robots take it as announced/);
  assert.match(listLines([early])[1] ?? '', /announced +1\/1 +100 % .* controller$/);
  const staged = read({ ...more, ...announced, waves: ROLLOUT.waves });
  assert.match(listLines([staged])[1] ?? '', /announced +-\/2 +0 % .* first wave$/);
});

test('the history is decisions in order, with the evidence below each', () => {
  const entry = { seq: 1, at: '2026-11-23T17:40:00.000Z', kind: 'held', by: 'gate', wave: 1 };
  const more = { text: 'wave 1 waits', threshold: 0.1, status: 'rolling', evidence: EVIDENCE };
  const page = utf8(JSON.stringify({ entries: [{ ...entry, ...more }] }));
  assert.deepEqual(historyLines(parseHistory(page).entries), [
    '1  2026-11-23T17:40:00Z  held  wave 1 waits  [gate]',
    '     apply  bound    pass  2 of 2 robots run it',
    '     crash  control  hold  3 robot-hours more',
  ]);
});

test('the robots that take no part are in the line, so that its numbers add up', () => {
  const excluded = { TOO_OLD: 2, SLOT_FOLDER: 1, ARCH_WRONG: 4 };
  const robots = { targeted: 6, running: 1, went_on: 1, in_progress: 0, failed: 0, waiting: 1 };
  const line = statusLines(read({ robots: { ...robots, recalled: 0, excluded } }), NOW)[3] ?? '';
  assert.match(line, /3 do not take it \(2 TOO_OLD, 1 SLOT_FOLDER\)$/);
  const [targeted, ...parts] = (line.split(' (')[0] ?? '').match(/\d+/g)?.map(Number) ?? [];
  assert.equal(
    parts.reduce((a, b) => a + b, 0),
    targeted,
  );
});

test('robots that cannot take it are named, and a watch ends with them', () => {
  const attempts = { ...RUN.attempts, unable: ['c2 SLOT_FOLDER'] };
  const left = withRun({ waits_for: 'unable', attempts });
  assert.equal(endOf(left), 'unable');
  assert.equal(
    waitsFor(left, NOW),
    'for robots that cannot take it until they are mended: c2 SLOT_FOLDER',
  );
  assert.equal(endOf(withRun({ status: 'paused', waits_for: 'unable', attempts })), null);
  assert.equal(CATALOGUE.ROLLOUT_ROBOTS_UNABLE.exit, 5);
});

test('a rollout that is over counts late robots, and has no wave without robots', () => {
  const counts = { reachable: 0, installed: 0, failed: 0, vanished: 0, examples: [] };
  const line = (more: object): string | undefined => {
    const all = statusLines(withRun({ waits_for: null, soak_until: null, ...more }), NOW);
    return all.find((one) => /^this wave|^came late/.test(one));
  };
  const nobody = { attempts: { cohort: 0, ...counts } };
  for (const status of ['complete', 'no_effect', 'paused', 'halted']) {
    assert.equal(line({ status, ...nobody }), undefined, status);
  }
  assert.match(line({ status: 'rolling', ...nobody }) ?? '', /^this wave 0 robots, 0 reachable/);
  const one = { attempts: { cohort: 1, ...counts, reachable: 1, installed: 1 } };
  assert.match(line({ status: 'complete', ...one }) ?? '', /^came late 1 robot, 1 reachable: 1 in/);
});

test('a recall names the robots that cannot go back, and a watch ends when only those are left', () => {
  const cannot_go_back = ['c2 RECALL_IMPOSSIBLE'];
  const some = withRun({ status: 'rolling_back', waits_for: 'recall', cannot_go_back });
  assert.equal(
    waitsFor(some, NOW),
    'for robots that took it to go back; cannot go back: c2 RECALL_IMPOSSIBLE',
  );
  assert.equal(endOf(some), null);
  const run = { ...RUN, status: 'rolling_back', waits_for: 'unable', cannot_go_back };
  for (const announced of [true, false]) {
    const left = read({ announced, run });
    assert.equal(waitsFor(left, NOW), 'only for robots that cannot go back: c2 RECALL_IMPOSSIBLE');
    assert.equal(endOf(left), 'cannot_go_back');
  }
});

test('a paused rollout waits for a person, also as an older broker tells it', () => {
  for (const waits_for of [null, 'resume']) {
    const paused = withRun({ status: 'paused', waits_for, soak_until: null });
    assert.equal(waitsFor(paused, NOW), 'for a person: drover rollout resume app-1');
  }
});

test('a change is a new status, wave, count, wait, verdict or reason; new numbers are none', () => {
  const line = changeLine(read());
  assert.equal(
    line,
    'rolling, wave 1 of 2, open to 10 % of the fleet; 20 targeted: 1 run it, 0 in progress, 1 failed, 18 waiting; waits for the soak, until 2026-11-23T18:10:00Z; gate hold',
  );
  const numbers = { ...RUN.gate, reasons: ['599 s of the soak are left'] };
  assert.equal(changeLine(withRun({ gate: numbers })), line);
  for (const more of [
    { status: 'paused' },
    { wave: 2 },
    { waits_for: 'evidence' },
    { gate: { ...RUN.gate, kind: 'pass' } },
    { reasons: ['a person'] },
    { threshold: 0.11 },
  ]) {
    assert.notEqual(changeLine(withRun(more)), line, JSON.stringify(more));
  }
  assert.notEqual(changeLine(read({ robots: { ...ROLLOUT.robots, running: 2 } })), line);
});

test('an answer that is not one is refused, whatever is wrong with it', () => {
  assertRefused('JSON_INVALID', () => parseRollout(utf8('<html>')));
  assertRefused('JSON_INVALID', () => parseRollout(utf8('{}')), /answer on a rollout/);
  assertRefused('JSON_INVALID', () => parseRollouts(utf8('{"rollouts":[{}]}')));
  const wrong = { ...ROLLOUT, run: { ...RUN, threshold: 'much' } };
  assertRefused('JSON_INVALID', () => parseRollout(utf8(JSON.stringify(wrong))), /run\.threshold/);
  // A newer broker may say more.
  assert.deepEqual(read({ news: 1 }), read());
});

test('no word of the network reaches the terminal as a control character', () => {
  const evil = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => `\u001b[2J${text}\r\n`);
  fc.assert(
    fc.property(evil, (text) => {
      const said = { metric: text, against: text, verdict: text, text };
      const gate = { kind: text, reasons: [text], evidence: [said] };
      const attempts = { ...RUN.attempts, examples: [text] };
      const words = { status: text, waits_for: text, soak_until: text, wave_opened_at: text };
      const rollout = read({
        ...{ id: text, component: text, version: text, error: { code: text, message: text } },
        run: { ...RUN, ...words, gate, attempts, reasons: [text], controller: text },
      });
      const entry = { seq: 1, at: text, kind: text, by: text, text, wave: 0, threshold: 0 };
      const page = { entries: [{ ...entry, status: text, evidence: [said] }] };
      const history = historyLines(parseHistory(utf8(JSON.stringify(page))).entries);
      const lines = [...statusLines(rollout, NOW), ...listLines([rollout]), ...history];
      return [...lines, changeLine(rollout)].every((line) => !/[\p{Cc}\u202e]/u.test(line));
    }),
    { numRuns: 200 },
  );
});

test('the drawing on a terminal fits it, so that it can be drawn over', () => {
  const size = fc.record({ columns: fc.integer({ min: 1, max: 200 }), rows: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 300 }), { maxLength: 60 }), size, (lines, at) => {
      const drawn = fitted(lines, at);
      return (
        drawn.length <= Math.max(1, at.rows - 1) &&
        drawn.every((line) => line.length <= Math.max(1, at.columns - 1))
      );
    }),
    { numRuns: 300 },
  );
});
