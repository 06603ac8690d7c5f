// Runs a panel's transformations on frames, by Grafana's own code, as its browser does; JSON in, JSON out.
const { JSDOM } = require('jsdom');
const { window } = new JSDOM('', { url: 'http://localhost/' });
Object.assign(globalThis, { window, document: window.document, DOMParser: window.DOMParser });

const data = require('@grafana/data');

const known = new Map(Object.values(data.standardTransformers).map((one) => [one.id, one]));
data.standardTransformersRegistry.setInit(() =>
  [...known.values()].map((one) => ({ id: one.id, name: one.name, transformation: one })),
);

function transformed({ transformations, frames }) {
  return new Promise((resolve) => {
    data.transformDataFrame(transformations, frames.map((frame) => data.toDataFrame(frame))).subscribe(resolve);
  });
}

function columns(frames) {
  return frames.map((frame) =>
    frame.fields.map((field) => [data.getFieldDisplayName(field, frame, frames), Array.from(field.values)]),
  );
}

(async () => {
  const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const answers = {};
  for (const [name, one] of Object.entries(asked)) answers[name] = columns(await transformed(one));
  process.stdout.write(JSON.stringify(answers));
})();
