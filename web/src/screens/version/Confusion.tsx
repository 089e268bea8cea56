import { getRouteApi } from "@tanstack/react-router";
import { interpolateViridis } from "d3-scale-chromatic";
import { type KeyboardEvent, useRef, useState } from "react";
import type { VersionSearch } from "../../search";
import { images, integer, percent } from "../../ui/format";
import { Picture, type PictureFile } from "../../ui/Picture";
import { CellImages } from "./CellImages";
import "./Confusion.css";

export interface Cell {
	actual: { index: number };
	predicted: { index: number };
	imageCount: number;
	exemplar: { index: number; confidence: number; picture: PictureFile };
}

const STEPS: Record<string, readonly [number, number]> = {
	ArrowUp: [-1, 0],
	ArrowDown: [1, 0],
	ArrowLeft: [0, -1],
	ArrowRight: [0, 1],
};

const route = getRouteApi("/models/$model/versions/$number");

interface ConfusionProps {
	/** Global id of the version. */
	version: string;
	cells: readonly Cell[];
	classNames: readonly string[];
}

/** A confusion matrix with an exemplar in each cell. Arrows walk through it, Enter and a click select a cell. */
export function Confusion({ version, cells, classNames }: ConfusionProps) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const grid = useRef<HTMLDivElement>(null);
	const selected = selection(search, classNames.length);
	const [[row, column], setCurrent] = useState<readonly [number, number]>([
		selected?.actual ?? 0,
		selected?.predicted ?? 0,
	]);
	const byPlace = new Map(cells.map((cell) => [`${cell.actual.index} ${cell.predicted.index}`, cell]));
	const most = Math.max(1, ...cells.map((cell) => cell.imageCount));
	const select = (actual: number, predicted: number) => {
		setCurrent([actual, predicted]);
		void navigate({ search: (before) => ({ ...before, actual, predicted }), replace: true, resetScroll: false });
	};
	const walk = (event: KeyboardEvent) => {
		const step = STEPS[event.key];
		if (!step) return;
		event.preventDefault();
		const last = classNames.length - 1;
		const next = [clamp(row + step[0], last), clamp(column + step[1], last)] as const;
		setCurrent(next);
		grid.current?.querySelector<HTMLElement>(`[data-cell="${next[0]} ${next[1]}"]`)?.focus();
	};
	return (
		<>
			<div className="confusion">
				<div
					ref={grid}
					role="grid"
					aria-label="Confusion matrix"
					tabIndex={-1}
					className="confusion-grid"
					style={{
						gridTemplateColumns: `minmax(4rem, max-content) repeat(${classNames.length}, minmax(2.6rem, 4.5rem))`,
					}}
					onKeyDown={walk}
				>
					<div role="row">
						<span role="columnheader" className="quiet" tabIndex={-1}>
							true,
							<br />
							predicted
						</span>
						{classNames.map((name, index) => (
							// biome-ignore lint/suspicious/noArrayIndexKey: classes are numbered
							<span key={index} role="columnheader" title={name} tabIndex={-1}>
								<bdi>{name}</bdi>
							</span>
						))}
					</div>
					{classNames.map((name, actual) => (
						// biome-ignore lint/suspicious/noArrayIndexKey: classes are numbered
						<div role="row" key={actual}>
							<span role="rowheader" title={name} tabIndex={-1}>
								<bdi>{name}</bdi>
							</span>
							{classNames.map((predictedName, predicted) => {
								const cell = byPlace.get(`${actual} ${predicted}`);
								const isCurrent = row === actual && column === predicted;
								return (
									<button
										type="button"
										role="gridcell"
										// biome-ignore lint/suspicious/noArrayIndexKey: classes are numbered
										key={predicted}
										data-cell={`${actual} ${predicted}`}
										tabIndex={isCurrent ? 0 : -1}
										aria-selected={selected?.actual === actual && selected.predicted === predicted}
										aria-label={`${name} taken for ${predictedName}: ${images(cell?.imageCount ?? 0)}`}
										className={actual === predicted ? "right" : ""}
										style={cell ? colours(cell.imageCount / most) : undefined}
										onFocus={() => setCurrent([actual, predicted])}
										onClick={() => select(actual, predicted)}
									>
										{cell && (
											<>
												<img src={cell.exemplar.picture.url} alt="" loading="lazy" />
												{integer(cell.imageCount)}
											</>
										)}
									</button>
								);
							})}
						</div>
					))}
				</div>
				{selected && (
					<Selected
						cell={byPlace.get(`${selected.actual} ${selected.predicted}`)}
						actual={classNames[selected.actual] ?? ""}
						predicted={classNames[selected.predicted] ?? ""}
					/>
				)}
			</div>
			{selected && <CellImages version={version} {...selected} />}
		</>
	);
}

/** The selected cell, if an address names one that there is. */
export function selection({ actual, predicted }: VersionSearch, classCount: number) {
	const isThere = actual !== undefined && predicted !== undefined && actual < classCount && predicted < classCount;
	return isThere ? { actual, predicted } : null;
}

function Selected({ cell, actual, predicted }: { cell: Cell | undefined; actual: string; predicted: string }) {
	return (
		<aside className="selected" aria-live="polite">
			<h3>
				<bdi>{actual}</bdi> taken for <bdi>{predicted}</bdi>
			</h3>
			{cell ? (
				<>
					<Picture {...cell.exemplar.picture} alt={`Test image ${cell.exemplar.index}`} />
					<p>
						{images(cell.imageCount)}. The surest one is test image {cell.exemplar.index}, with a probability of{" "}
						{percent(cell.exemplar.confidence)}.
					</p>
				</>
			) : (
				<p>No test image.</p>
			)}
		</aside>
	);
}

/** The colour of a cell by its share of the largest count, and one for text that stands out from it. */
function colours(share: number) {
	return { background: interpolateViridis(share), color: share > 0.6 ? "#000" : "#fff" };
}

function clamp(index: number, last: number): number {
	return Math.min(last, Math.max(0, index));
}
