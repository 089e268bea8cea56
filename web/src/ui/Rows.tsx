import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type RefObject, useEffect, useRef } from "react";
import { Cells, type Column, Heads } from "./columns";
import "./Rows.css";

interface RowsProps<Row> {
	label: string;
	columns: readonly Column<Row>[];
	rows: readonly Row[];
	rowKey: (row: Row) => string;
	/** Number of rows of the whole list, if it is known. */
	total?: number | undefined;
	/** Where the number of rows down to the last one in view is kept. */
	shown?: RefObject<number>;
	/** Called when the end of the rows comes into view. */
	onEnd?: (() => void) | undefined;
}

const ROW_HEIGHT = 40;

/** A table of many rows, of which only those in view are drawn. `j` and `k` walk through them. */
export function Rows<Row>({ label, columns, rows, rowKey, total, shown: reach, onEnd }: RowsProps<Row>) {
	const place = useRef<HTMLTableElement>(null);
	const virtualizer = useWindowVirtualizer({
		count: rows.length,
		estimateSize: () => ROW_HEIGHT,
		overscan: 12,
		scrollMargin: place.current?.offsetTop ?? 0,
	});
	const shown = virtualizer.getVirtualItems();
	const [first, last] = [shown[0], shown.at(-1)];
	const isAtEnd = last !== undefined && last.index >= rows.length - 1;
	useEffect(() => {
		if (isAtEnd) onEnd?.();
	}, [isAtEnd, onEnd]);
	useEffect(() => {
		if (reach && last) reach.current = last.index + 1;
	}, [reach, last]);
	useEffect(() => {
		const table = place.current;
		table?.addEventListener("mouseover", tellCut);
		return () => table?.removeEventListener("mouseover", tellCut);
	}, []);
	const before = first ? first.start - virtualizer.options.scrollMargin : 0;
	const after = last ? virtualizer.getTotalSize() - (last.end - virtualizer.options.scrollMargin) : 0;
	return (
		<table ref={place} className="rows" aria-label={label} aria-rowcount={(total ?? rows.length) + 1}>
			<thead>
				<tr aria-rowindex={1}>
					<Heads columns={columns} />
				</tr>
			</thead>
			<tbody>
				<Spacer height={before} span={columns.length} />
				{shown.map(({ index }) => {
					const row = rows[index] as Row;
					return (
						<tr key={rowKey(row)} aria-rowindex={index + 2} data-row={index}>
							<Cells columns={columns} row={row} />
						</tr>
					);
				})}
				<Spacer height={after} span={columns.length} />
			</tbody>
		</table>
	);
}

/** Gives the cell under the pointer its whole text as a hint, if it is cut. */
function tellCut({ target }: MouseEvent) {
	const cell = target instanceof Element ? target.closest<HTMLElement>("th, td") : null;
	if (cell) cell.title = cell.scrollWidth > cell.clientWidth ? cell.textContent : "";
}

function Spacer({ height, span }: { height: number; span: number }) {
	return height > 0 ? (
		<tr>
			<td colSpan={span} style={{ height, padding: 0, border: 0 }} />
		</tr>
	) : null;
}
