import { getRouteApi } from "@tanstack/react-router";
import { images, integer } from "../../ui/format";
import { Picture, Pictures } from "../../ui/Picture";
import { CellImages } from "./CellImages";
import { type Cell, selection } from "./Confusion";

const route = getRouteApi("/models/$model/versions/$number");

/** The most kinds of mistakes that are listed. */
const MOST = 100;

interface MistakeListProps {
	/** Global id of the version. */
	version: string;
	/** Cells of mistakes, of which not all need be read, and how many there are. */
	cells: readonly Cell[];
	total: number;
	classNames: readonly string[];
}

/** The largest cells of mistakes as a list, for data sets with many classes. A click shows all images of one. */
export function MistakeList({ version, cells, total, classNames }: MistakeListProps) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const selected = selection(search, classNames.length);
	const largest = [...cells].sort((a, b) => b.imageCount - a.imageCount).slice(0, MOST);
	const select = (actual: number, predicted: number) =>
		void navigate({ search: (before) => ({ ...before, actual, predicted }), replace: true, resetScroll: false });
	return (
		<>
			<p className="quiet">
				{integer(largest.length)} of {integer(total)} kinds of mistakes,{" "}
				{cells.length < total
					? `the most frequent of the first ${integer(cells.length)} in the order of the classes.`
					: "the most frequent first."}{" "}
				Each shows the image that was classified with the highest confidence; a click shows all.
			</p>
			{selected && (
				<section aria-labelledby="cell">
					<h3 id="cell">
						<bdi>{classNames[selected.actual]}</bdi> taken for <bdi>{classNames[selected.predicted]}</bdi>
					</h3>
					<CellImages version={version} {...selected} />
					<h3>All</h3>
				</section>
			)}
			<Pictures>
				{largest.map(({ actual: { index: actual }, predicted: { index: predicted }, imageCount, exemplar }) => (
					<li key={`${actual} ${predicted}`}>
						<Picture {...exemplar.picture} alt={`Test image ${exemplar.index}`} />
						<button
							type="button"
							aria-pressed={selected?.actual === actual && selected.predicted === predicted}
							onClick={() => select(actual, predicted)}
						>
							<bdi>{classNames[actual]}</bdi> taken for <bdi>{classNames[predicted]}</bdi>
						</button>
						<span className="quiet">{images(imageCount)}</span>
					</li>
				))}
			</Pictures>
		</>
	);
}
