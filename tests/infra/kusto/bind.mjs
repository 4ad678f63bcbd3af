// Binds KQL queries against declared tables, as the service would before it runs them, and tells the result's columns.
//
// In (stdin, JSON): {"tables": {"AppMetrics": {"Name": "string", …}, …}, "queries": {"name": "KQL", …}}
// Out (stdout, JSON): {"name": {"problems": ["3:7 …"], "columns": {"Target": "string", …}}, …}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const folder = "@kusto/language-service-next/";
require(folder + "bridge.min.js");
globalThis.Kusto ??= {};
require(folder + "Kusto.Language.Bridge.min.js");

const { Symbols, GlobalState, KustoCode, Parsing } = globalThis.Kusto.Language;

const list = (bridgeList) => {
  const all = [];
  for (let i = 0; i < bridgeList.Count; i += 1) all.push(bridgeList.getItem(i));
  return all;
};

const position = (text, offset) => {
  const before = text.slice(0, offset).split("\n");
  return `${before.length}:${before.at(-1).length + 1}`;
};

const { tables, queries } = JSON.parse(readFileSync(0, "utf8"));
const database = new Symbols.DatabaseSymbol.$ctor1(
  "workspace",
  Object.entries(tables).map(
    ([name, columns]) =>
      new Symbols.TableSymbol.$ctor7(name, `(${Object.entries(columns).map(([c, t]) => `['${c}']: ${t}`).join(", ")})`, null),
  ),
);
const globals = GlobalState.Default.WithDatabase(database);

const bind = (text) => {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const problems = list(code.GetDiagnostics())
    .filter((d) => ["Error", "Warning"].includes(d.Severity))
    .map((d) => `${position(text, d.Start)} ${d.Severity}: ${d.Message}`);
  const columns = Object.fromEntries(list(code.ResultType?.Columns ?? []).map((c) => [c.Name, c.Type.Name]));
  return { problems, columns };
};

process.stdout.write(
  JSON.stringify(Object.fromEntries(Object.entries(queries).map(([name, text]) => [name, bind(text)]))),
);
