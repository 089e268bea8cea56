import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";
import "./Rows.css";

/** A column of a table of rows. */
export interface Column<Row> {
	name: string;
	/** Whether it holds numbers, which stand at the end of the cell. */
	isNumber?: boolean;
	/** How important it is where there is little room: 1 always stays, 2 and 3 are left out in narrow windows. */
	rank?: 1 | 2 | 3;
	/** The width as CSS writes it; without one, what is left. */
	width?: string;
	cell: (row: Row) => ReactNode;
}

interface RowsProps<Row> {
	label: string;
	columns: readonly Column<Row>[];
	rows: readonly Row[];
	rowKey: (row: Row) => string;
	/** Number of rows of the whole list, if it is known. */
	total?: number | undefined;
	/** Called when the end of the rows comes into view. */
	onEnd?: (() => void) | undefined;
}

const ROW_HEIGHT = 40;

/** A table of many rows, of which only those in view are drawn. `j` and `k` walk through them. */
export function Rows<Row>({ label, columns, rows, rowKey, total, onEnd }: RowsProps<Row>) {
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
	const before = first ? first.start - virtualizer.options.scrollMargin : 0;
	const after = last ? virtualizer.getTotalSize() - (last.end - virtualizer.options.scrollMargin) : 0;
	return (
		<table ref={place} className="rows" aria-label={label} aria-rowcount={(total ?? rows.length) + 1}>
			<thead>
				<tr aria-rowindex={1}>
					{columns.map((column) => (
						<th key={column.name} scope="col" style={{ width: column.width }} className={classes(column)}>
							{column.name}
						</th>
					))}
				</tr>
			</thead>
			<tbody>
				<Spacer height={before} span={columns.length} />
				{shown.map(({ index }) => {
					const row = rows[index] as Row;
					return (
						<tr key={rowKey(row)} aria-rowindex={index + 2} data-row={index}>
							{columns.map((column) => (
								<td key={column.name} className={classes(column)}>
									{column.cell(row)}
								</td>
							))}
						</tr>
					);
				})}
				<Spacer height={after} span={columns.length} />
			</tbody>
		</table>
	);
}

function Spacer({ height, span }: { height: number; span: number }) {
	return height > 0 ? (
		<tr>
			<td colSpan={span} style={{ height, padding: 0, border: 0 }} />
		</tr>
	) : null;
}

function classes<Row>(column: Column<Row>): string {
	return `${column.isNumber ? "number" : ""} rank-${column.rank ?? 1}`;
}
