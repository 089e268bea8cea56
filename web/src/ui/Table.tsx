import { Fragment, type ReactNode } from "react";
import { Cells, type Column, Heads } from "./columns";
import { Scrolls } from "./Scrolls";

interface TableProps<Row> {
	label: string;
	columns: readonly Column<Row>[];
	rows: readonly Row[];
	rowKey: (row: Row) => string | number;
	/** Whether it is only as wide as its content. */
	isNarrow?: boolean;
	/** What is shown below a row, if anything. */
	below?: (row: Row) => ReactNode;
}

/** A table of some rows, which are all drawn. It is scrolled sideways where it does not fit. `j` and `k` walk through the rows. */
export function Table<Row>({ label, columns, rows, rowKey, isNarrow = false, below }: TableProps<Row>) {
	return (
		<Scrolls label={label}>
			<table className={isNarrow ? "list narrow" : "list"} aria-label={label}>
				<thead>
					<tr>
						<Heads columns={columns} />
					</tr>
				</thead>
				<tbody>
					{rows.map((row) => {
						const content = below?.(row);
						return (
							<Fragment key={rowKey(row)}>
								<tr data-row>
									<Cells columns={columns} row={row} />
								</tr>
								{content && (
									<tr>
										<td colSpan={columns.length} className="below">
											{content}
										</td>
									</tr>
								)}
							</Fragment>
						);
					})}
				</tbody>
			</table>
		</Scrolls>
	);
}
