import { getRouteApi, Link } from "@tanstack/react-router";
import { comparison, useMarks } from "../../marks";
import type { CompareSearch } from "../../search";
import { Empty } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { Filters, MeasureFilter } from "../../ui/Filters";
import { percent } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { type FoundVersion, NamedVersion } from "../../ui/NamedVersion";
import { Tabs } from "../../ui/Tabs";
import { Title } from "../../ui/Title";
import { VersionFilter } from "../../ui/VersionFilter";
import { CkaMap } from "./CkaMap";
import { Evaluations } from "./Evaluations";
import type { Pair } from "./pair";
import { Structure } from "./Structure";
import "./Compare.css";

const TAB_NAMES = { map: "Layer by layer", structure: "Structure", evaluations: "Evaluations" };

const route = getRouteApi("/compare");

/** Other versions have other layers. */
const NO_PAIR = { row: undefined, column: undefined };

/** Two versions, side by side. */
export default function Compare() {
	const { a = "", b = "", measure = "DEBIASED_CKA" } = route.useSearch();
	const navigate = route.useNavigate();
	const set = (change: Partial<Record<keyof CompareSearch, unknown>>) =>
		void navigate({
			search: (before) => ({ ...before, ...change }) as CompareSearch,
			replace: true,
		});
	return (
		<>
			<Title>Compare two versions</Title>
			<Filters>
				<VersionFilter label="First version" value={a} onChange={(name) => set({ ...NO_PAIR, a: name || undefined })} />
				<VersionFilter
					label="Second version"
					value={b}
					onChange={(name) => set({ ...NO_PAIR, b: name || undefined })}
				/>
				<MeasureFilter value={measure} onChange={(measure) => set({ measure })} />
				<button type="button" onClick={() => set({ ...NO_PAIR, a: b || undefined, b: a || undefined })}>
					Swap
				</button>
			</Filters>
			{a && b ? (
				<NamedVersion name={a}>
					{(a) => <NamedVersion name={b}>{(b) => <Comparison a={a} b={b} />}</NamedVersion>}
				</NamedVersion>
			) : (
				<Incomplete a={a} b={b} />
			)}
		</>
	);
}

/** How to name two versions. Those that are marked are offered. */
function Incomplete({ a, b }: { a: string; b: string }) {
	const marked = useMarks(({ names }) => names);
	const names = [...[a, b].filter((name) => name !== ""), ...marked.filter((name) => name !== a && name !== b)];
	const offered = comparison(names);
	return (
		<>
			{offered && (
				<p>
					<Link className="button" {...offered}>
						Compare {offered.search.a} and {offered.search.b}
					</Link>{" "}
					<span className="quiet">as you have marked</span>
				</p>
			)}
			<Empty>
				Enter two versions: the name of a model, or a model and the number of a version, such as <code>plain-1:1</code>.
				Or mark two of them in a list, such as the <Link to="/">library</Link>, by the box at the end of a row or with{" "}
				<kbd>c</kbd>.
			</Empty>
		</>
	);
}

function Comparison({ a, b }: Pair) {
	const { tab = "map", measure = "DEBIASED_CKA", ...search } = route.useSearch();
	return (
		<>
			<Facts>{{ "First version": <End end={a} />, "Second version": <End end={b} /> }}</Facts>
			<Tabs
				names={TAB_NAMES}
				tab={tab}
				label="Ways to compare"
				kept={{ a: search.a, b: search.b, ...(measure === "CKA" && { measure }) }}
			/>
			{tab === "map" && <CkaMap a={a} b={b} measure={measure} />}
			{tab === "structure" && <Structure a={a} b={b} measure={measure} />}
			{tab === "evaluations" && <Evaluations a={a} b={b} />}
		</>
	);
}

function End({ end }: { end: FoundVersion }) {
	return (
		<>
			<VersionLink {...end} /> <span className="quiet">{percent(end.accuracy)}</span>
		</>
	);
}
